// SPDX-License-Identifier: Apache-2.0
// The part of HubFilesystem that shows one repo, or a folder of it, at the root of a mount.
#include "fs/hub_filesystem.h"

namespace hubvfs::fs {
namespace {

const char* noun(hub::RepoType type) {
  switch (type) {
    case hub::RepoType::kModel:
      return "model";
    case hub::RepoType::kDataset:
      return "dataset";
    case hub::RepoType::kSpace:
      return "space";
  }
  return "repo";
}

}  // namespace

void HubFilesystem::locate_root(Reply<Located> reply) {
  parts_.catalog->resolve(place_, [self = shared_from_this(), reply = std::move(reply)](
                                      const Result<Catalog::Resolved>& answer) {
    if (!answer) return reply(answer.error());
    if (!answer->placed) return reply(self->renamed_repo(answer->renamed));
    self->locate_folder(answer->placed, reply);
  });
}

void HubFilesystem::locate_folder(const PlacedPtr& placed, Reply<Located> reply) {
  const auto explain = [self = shared_from_this(), placed,
                        reply = std::move(reply)](const Result<Located>& folder) {
    if (folder) return reply(folder);
    const std::string url = self->mount_.repo->url();
    if (folder.error().code == ErrorCode::kNotFound) {
      return reply(
          Error{ErrorCode::kNotFound, url + ": no such folder in commit " + placed->info.commit});
    }
    if (folder.error().code == ErrorCode::kNotDirectory) {
      return reply(Error{ErrorCode::kNotDirectory,
                         url + ": a file; mount the folder or the repo that it is in"});
    }
    reply(folder.error());
  };
  locate_in(
      placed, View::kTree, 0,
      [self = shared_from_this(), explain](const Result<Located>& at) {
        if (!at) return explain(at);
        self->follow(*at, self->mount_.repo->sub, explain);
      },
      Purpose::kDemand);
}

// Never a question: whoever looks at the mount point must not wait for the Hub.
Entry HubFilesystem::repo_root_entry() {
  const PlacedPtr shown = parts_.catalog->known(place_);
  Entry entry =
      directory({false, 0, kRootEntry}, shown ? shown->info.last_modified : started_, kForever);
  if (!shown || !pinned()) entry.attribute_timeout = options_.metadata_ttl;
  return entry;
}

// How long the kernel may keep a name of the listing of `placed` below `parent`. Right below node 1
// not at all where the mount shows another commit by now: nobody would be told of its end.
Duration HubFilesystem::name_timeout(NodeId parent, const PlacedPtr& placed) {
  if (!is_repo_root(parent) || pinned()) return kForever;
  const PlacedPtr shown = parts_.catalog->known(place_);
  return shown && shown->serial == placed->root().serial ? options_.metadata_ttl : Duration::zero();
}

// All below the mount is to be of one commit. An answer that overtakes this is kept for
// metadata.ttl at most.
void HubFilesystem::forget_names_below_root(const PlacedPtr& before) {
  {
    MutexLock lock(notifier_mutex_);
    if (notifier_ == nullptr) return;
    notifier_->invalidate_attributes(kRootEntry);
  }
  if (!before || !parts_.catalog->stored_snapshot(before)) return;  // nothing of it was ever shown
  locate_folder(before, [self = shared_from_this()](const Result<Located>& folder) {
    MutexLock lock(self->notifier_mutex_);
    if (!folder || self->notifier_ == nullptr) return;
    const Snapshot::Entry directory = folder->entry();
    for (std::uint32_t i = 0; i < directory.child_count; ++i) {
      const Snapshot::Entry child = folder->snapshot->entry(directory.first_child + i);
      self->notifier_->invalidate_entry(kRootEntry, std::string(child.name));
    }
  });
}

// ---- what `hubvfs mount` is told

void HubFilesystem::check_root(Done reply) {
  reply = pending_.hold<void>(std::move(reply));
  if (!reply) return;
  if (!mount_.repo) return reply({});
  // The user may have got access, or made the branch, since it was last asked for.
  parts_.catalog->forget_refusal(place_);
  parts_.catalog->resolve(
      place_, [self = shared_from_this(), reply](const Result<Catalog::Resolved>& answer) {
        if (answer && answer->placed) return self->check_folder(answer->placed, reply);
        if (answer) return reply(self->renamed_repo(answer->renamed));
        if (answer.error().code == ErrorCode::kNotFound) {
          return self->explain_absent_repo(answer.error(), reply);
        }
        reply(answer.error().within(self->mount_.repo->url()));
      });
}

void HubFilesystem::check_folder(const PlacedPtr& placed, const Done& reply) {
  parts_.catalog->snapshot(
      placed, true, [self = shared_from_this(), placed, reply](const Result<SnapshotPtr>& got) {
        const std::string url = self->mount_.repo->url();
        if (!got) return reply(got.error().within(url));
        if (placed->info.gate != hub::Gate::kNone && (*got)->masked()) {
          return reply(self->gated({placed, *got, 0}).within(url));
        }
        self->locate_folder(placed, [reply](const Result<Located>& folder) {
          reply(folder ? Result<void>() : Result<void>(folder.error()));
        });
      });
}

// The Hub's answer does not always tell a missing revision from a missing repo.
void HubFilesystem::explain_absent_repo(const Error& error, const Done& reply) {
  const RepoScope& scope = *mount_.repo;
  if (scope.revision.empty()) return reply(no_such_repo(error));
  const Place default_branch{scope.repo, ""};
  parts_.catalog->forget_refusal(default_branch);
  parts_.catalog->resolve(default_branch, [self = shared_from_this(), error,
                                           reply](const Result<Catalog::Resolved>& answer) {
    const RepoScope& asked = *self->mount_.repo;
    if (!answer && answer.error().code == ErrorCode::kNotFound) {
      return reply(self->no_such_repo(error));
    }
    if (!answer) return reply(answer.error().within(asked.url()));
    if (!answer->placed) return reply(self->renamed_repo(answer->renamed));
    reply(Error{ErrorCode::kNotFound, asked.url() + ": " + asked.repo +
                                          " has no branch, tag or full commit id \"" +
                                          asked.revision + "\""});
  });
}

Error HubFilesystem::no_such_repo(const Error& error) const {
  const RepoScope& scope = *mount_.repo;
  std::string why = scope.url() + ": no such " + noun(scope.type);
  why += mount_.shared ? ", or not one for everybody (a mount with allow_other sends no token)"
                       : ", or not one that this user may see: check the name and the token";
  return {ErrorCode::kNotFound, why + " (" + error.context + ")"};
}

Error HubFilesystem::renamed_repo(const std::string& canonical) const {
  RepoScope next = *mount_.repo;
  next.repo = canonical;
  return {ErrorCode::kNotFound, mount_.repo->url() + ": " + mount_.repo->repo + " is now called " +
                                    canonical + ": mount " + next.url()};
}

}  // namespace hubvfs::fs
