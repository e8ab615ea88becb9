// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_session.h"

#include "fs/fuse_loop.h"
#include "fs/fuse_ops.h"

namespace hubvfs::fs {
namespace {

class LoopSession final : public FuseSession {
 public:
  explicit LoopSession(std::unique_ptr<FuseLoop> loop) : loop_(std::move(loop)) {}
  Result<void> run(Operations& operations) override {
    return loop_->run(fuse_operations(), &operations);
  }
  void stop() override { loop_->stop(); }
  KernelNotifier& notifier() override { return loop_->notifier(); }

 private:
  std::unique_ptr<FuseLoop> loop_;
};

}  // namespace

Result<std::unique_ptr<FuseSession>> FuseSession::create(const FuseSessionOptions& options,
                                                         Logger& log) {
  auto loop = FuseLoop::create(options, log);
  if (!loop) return loop.error();
  return std::unique_ptr<FuseSession>(std::make_unique<LoopSession>(std::move(*loop)));
}

}  // namespace hubvfs::fs
