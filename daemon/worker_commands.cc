// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker_commands.h"

#include "base/json.h"
#include "fs/counters_json.h"

namespace hubvfs::daemon {

Result<std::string> WorkerCommands::carry_out(const CommandRequest& request,
                                              CommandCaller& caller) {
  switch (request.kind) {
    case CommandRequest::Kind::kStats:
      return stats();
    case CommandRequest::Kind::kPrefetch:
      return prefetch(request, caller);
    case CommandRequest::Kind::kList:
      return list(caller);
    case CommandRequest::Kind::kUsage:
      return usage(caller);
    case CommandRequest::Kind::kPin:
      return pin(request, caller);
    case CommandRequest::Kind::kUnpin:
      return unpin(request);
    case CommandRequest::Kind::kEvict:
      return evict(request, caller);
    case CommandRequest::Kind::kPrune:
      return prune(request);
    case CommandRequest::Kind::kVerify:
      return verify(request, caller);
    case CommandRequest::Kind::kExport:
      return export_files(request, caller);
    case CommandRequest::Kind::kImport:
      return import_folder(request, caller);
  }
  return {ErrorCode::kInternal, "a command that nobody carries out"};
}

std::string WorkerCommands::stats() const {
  JsonWriter out;
  out.begin_object();
  out.key("cache");
  fs::write_counters(out, parts_.store.stats(), parts_.store.block_size());
  out.key("hub");
  fs::write_counters(out, parts_.hub.stats());
  out.end_object();
  return out.text();
}

}  // namespace hubvfs::daemon
