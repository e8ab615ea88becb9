// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/blob_folder.h"
#include "daemon/control_socket.h"
#include "daemon/kernel_mount.h"
#include "daemon/messages.h"
#include "daemon/mount_passthrough.h"
#include "daemon/presence.h"
#include "daemon/supervisor.h"

namespace hubvfs::daemon {

struct KeeperOptions {
  Bytes worker_settings;        // WorkerSettings::encode
  std::string label;            // of the workers, for people who read `ps`
  std::string cache_path;       // whose files may be passed through; "": none
  ControlSocket control;        // where commands ask for more mounts; none: nobody can
  Bytes introduction;           // Introduction::encode: what these commands are told
  bool stop_on_hangup = false;  // SIGHUP: true in the foreground, where it means that the terminal
                                // went away
  bool may_resend = true;       // false: as on a kernel before 6.9, for tests
};

// The process that holds the mounts of a cache and its worker's life (design, sections 1 and 6;
// threats-and-faults, section 7).
//
// It keeps each mount's descriptor and INIT request, hands them to every worker, and unmounts all
// on SIGTERM and SIGINT. It ends with its last mount. It never parses a byte from outside, but for
// the orders of its own user's commands, and never touches its own mounts: what becomes of them it
// learns from their descriptors. One thread.
class Keeper {
 public:
  // SIGTERM, SIGINT and SIGHUP are blocked from then on, for good.
  static Result<std::unique_ptr<Keeper>> create(KeeperOptions options, Logger& log,
                                                const Clock& clock);
  ~Keeper();

  // Mounts. `on_ready` runs once, in run(), when the mount can be used. `audience_fd`, borrowed: a
  // pipe to whoever waits for that; when its reader is gone before, the mount ends. -1: none.
  Result<void> add(const MountOrder& order, int audience_fd, std::function<void()> on_ready);
  // Until the last mount is gone. An error: why it had to end although nobody asked for it, or why
  // its only mount never came to life; what waited for an answer has failed then.
  Result<void> run();

 private:
  struct Held {
    std::uint32_t number = 0;
    MountOrder order;
    KernelMount kernel;
    Presence presence;
    Bytes init_request;
    MountPassthrough passthrough{false, {}};
    int audience_fd = -1;
    std::function<void()> on_ready;
    bool ready = false;              // was, in some worker's life
    UniqueFd asker;                  // a command that waits for it
    std::vector<UniqueFd> visitors;  // on its own socket, until it ends
  };
  using HeldIt = std::list<Held>::iterator;
  struct WaitingCommand {
    UniqueFd connection;
    Message order;
  };

  Keeper(KeeperOptions options, Logger& log, const Clock& clock);
  Result<void> prepare();

  // What poll found, by what was asked of it: keeper.cc.
  struct Watch;
  void wait_for_events();
  std::vector<Watch> watches();
  int poll_timeout_ms() const;

  // Worker.
  void hear_worker();
  void take(const Message& message);
  void bury_current();
  void serve_all();
  void serve(Held& held);
  void remount_all();
  Result<void> remount(Held& held) const;
  void give_up(const std::string& why);

  // Passthrough: keeper_passthrough.cc.
  void settle_passthrough(Held& held);
  void open_backing(ByteView body);
  void look_at_backing_within(Duration time);
  void let_go_of_backing();
  std::string restart_way() const;

  // Mounts.
  HeldIt find(std::uint32_t number);
  void note_ready(Held& held);
  void fail_mount(HeldIt held, const std::string& why);
  HeldIt let_go(HeldIt held);

  // Commands: keeper_commands.cc.
  void accept_command();
  void accept_visitor(Held& held);
  void hear_command(std::size_t index);
  void take_order(UniqueFd command, ByteView body);
  void hand_on(WaitingCommand waiting);
  void hand_on_waiting();
  void hear_visitor(Held& held, std::size_t index);
  std::string facts(const Held& held) const;

  void take_signals();
  void begin_stop();
  void wind_up();

  KeeperOptions options_;
  Logger& log_;
  const Clock& clock_;
  UniqueFd signals_;
  std::unique_ptr<Supervisor> supervisor_;
  std::list<Held> mounts_;
  std::uint32_t next_number_ = 1;
  std::vector<UniqueFd> commands_;       // connected, and have not said what they want
  std::vector<WaitingCommand> waiting_;  // for the next worker
  std::vector<UniqueFd> last_visitors_;  // of the last mount: they wait for the end of this process
  std::uint64_t remounts_ = 0;
  BlobFolder blobs_;
  std::optional<TimePoint> look_at_backing_;  // next; none: no file is registered
  std::optional<TimePoint> stop_at_;          // stopping: when patience with open files ends
  bool done_ = false;
  std::string worker_said_;  // its last kFailed of itself
  std::optional<Error> failure_;
};

}  // namespace hubvfs::daemon
