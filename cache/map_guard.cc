// SPDX-License-Identifier: Apache-2.0
#include "cache/map_guard.h"

#include <ucontext.h>

#include <csignal>

namespace hubvfs::cache {
namespace {

thread_local MapGuard* innermost = nullptr;

// The signal is of the access itself, on its own thread: whatever that was doing is in guarded().
void on_bus_error(int number, siginfo_t*, void* context) {
  if (innermost != nullptr) {
    // As a return from here would leave it. (Sanitizers block every signal in a handler.)
    ::pthread_sigmask(SIG_SETMASK, &static_cast<ucontext_t*>(context)->uc_sigmask, nullptr);
    siglongjmp(innermost->place(), 1);
  }
  ::signal(number, SIG_DFL);  // nobody's: the access is made again, and ends the process
}

bool install() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigemptyset(&action.sa_mask);
  return ::sigaction(SIGBUS, &action, nullptr) == 0;
}

}  // namespace

MapGuard::MapGuard() : outer_(innermost) {
  [[maybe_unused]] static const bool kInstalled = install();
  innermost = this;
}

MapGuard::~MapGuard() { innermost = outer_; }

}  // namespace hubvfs::cache
