// SPDX-License-Identifier: Apache-2.0
#include "daemon/served_mount.h"

#include <system_error>

namespace hubvfs::daemon {
namespace {

Result<fs::MountOptions> mount_options(const ServeOrder& order) {
  auto settings = MountSettings::decode(order.settings);
  if (!settings) return settings.error();
  fs::MountOptions options;
  options.number = order.number;
  options.type = settings->type;
  options.shared = settings->allow_other;
  options.passthrough = order.passthrough;
  options.no_passthrough_because = order.no_passthrough_because;
  if (!settings->repo.empty()) {
    auto scope = fs::RepoScope::parse(settings->repo);
    if (!scope) return scope.error();
    options.repo = std::move(*scope);
  }
  return options;
}

}  // namespace

Result<std::unique_ptr<ServedMount>> ServedMount::start(const ServeOrder& order, UniqueFd device,
                                                        fs::Backend& backend,
                                                        fs::RequestJournal& journal, Logger& log,
                                                        Events events) {
  auto options = mount_options(order);
  if (!options) return options.error();
  std::unique_ptr<ServedMount> mount(new ServedMount(std::move(device), std::move(events)));
  ServedMount* self = mount.get();
  fs::FuseSessionOptions session_options;
  session_options.dev_fd = mount->device_.get();
  session_options.number = order.number;
  session_options.journal = &journal;
  session_options.init_request = order.init_request;
  session_options.passthrough = order.passthrough;
  // A mount that was in use goes on as it is; a new one first shows that there is something in it.
  session_options.on_ready = [self, again = order.again] {
    if (again) return self->events_.on_ready();
    self->operations_->check_root([events = self->events_](const Result<void>& checked) {
      if (checked) return events.on_ready();
      events.on_failed(checked.error());
    });
  };
  auto session = fs::FuseSession::create(session_options, log);
  if (!session) return session.error();
  mount->session_ = std::move(*session);
  auto operations = backend.mount(*options, mount->session_->notifier());
  if (!operations) return operations.error();
  mount->operations_ = std::move(*operations);
  try {
    mount->thread_ = std::thread([self, &log] { self->run(log); });
  } catch (const std::system_error& e) {
    mount->operations_->close();
    return {ErrorCode::kOutOfMemory, std::string("no thread to serve the mount: ") + e.what()};
  }
  return mount;
}

void ServedMount::run(Logger& log) {
  if (auto served = session_->run(*operations_); !served) {
    log.error(served.error().context);
    events_.on_failed(served.error());
  }
  events_.on_ended();
}

ServedMount::~ServedMount() {
  if (!thread_.joinable()) return;
  session_->stop();
  thread_.join();
  // While the session still stands, through which the answers go.
  operations_->close();
}

}  // namespace hubvfs::daemon
