// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_loop.h"

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include "base/blocking.h"
#include "fs/fuse_device.h"
#include "fs/fuse_passthrough.h"

namespace hubvfs::fs {
namespace {

constexpr unsigned kMaxBackground = 512;
constexpr unsigned kCongestion = 384;
// The mount is read-only, so the kernel's largest request is a batch of forgets, cut to what fits.
constexpr std::uint32_t kMaxWrite = 4096;  // the least the kernel knows
constexpr std::size_t kReceiveBytes = 64u << 10;

thread_local std::uint64_t unique_here = 0;

struct GivenToLibfuse {
  explicit GivenToLibfuse(std::uint64_t unique) { unique_here = unique; }
  ~GivenToLibfuse() { unique_here = 0; }
  GivenToLibfuse(const GivenToLibfuse&) = delete;
  GivenToLibfuse& operator=(const GivenToLibfuse&) = delete;
};

// libfuse asks for one; requests are received in FuseLoop::receive.
ssize_t hook_read(int fd, void* buffer, std::size_t size, void*) {
  return ::read(fd, buffer, size);
}

}  // namespace

// The reply to INIT, on its way through the write hook.
struct FuseLoop::InitReply {
  bool parallel_lookups = false;  // to be negotiated
  bool passthrough = false;
  bool sent = false;  // this worker is the first
  bool late = false;  // INIT was answered before: this is a restart
  int refused = 0;    // errno libfuse answered with
  int failed = 0;     // errno of the write

  ssize_t send(int fd, iovec* parts, int count) {
    auto* header = static_cast<fuse_out_header*>(parts[0].iov_base);
    refused = -header->error;
    const ssize_t asked = header->len;
    fuse_init_out init{};
    if (count == 2) {
      std::memcpy(&init, parts[1].iov_base, std::min(parts[1].iov_len, sizeof init));
      // libfuse derives max_pages from its max_write; the kernel derives from max_write how large
      // every receive buffer has to be.
      init.max_write = kMaxWrite;
      if (parallel_lookups) init.flags |= FUSE_PARALLEL_DIROPS;  // libfuse 3.14 leaves it out
      if (passthrough) complete_init_reply(init);
      parts[1] = {&init, sizeof init};
      header->len = sizeof *header + sizeof init;
    }
    if (::writev(fd, parts, count) >= 0) {
      sent = true;
    } else if (errno == ENOENT) {
      late = true;
    } else {
      failed = errno;
    }
    return asked;
  }
};

void FuseLoop::negotiate(void* loop, fuse_conn_info* conn) {
  const unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_READDIRPLUS;
  // Not wanted, each on purpose: AUTO_INVAL_DATA (bytes of a node never change; it would cost a
  // GETATTR a read), READDIRPLUS_AUTO (attributes come with every listing), CACHE_SYMLINKS,
  // EXPORT_SUPPORT (no handles by node id), SPLICE_* (our buffers are memory).
  conn->want = want & conn->capable;
  if (static_cast<const FuseLoop*>(loop)->init_reply_->passthrough) want_passthrough(*conn);
  conn->max_background = kMaxBackground;
  conn->congestion_threshold = kCongestion;
}

ssize_t FuseLoop::write_hook(int fd, iovec* parts, int count, void* loop) {
  const auto* self = static_cast<const FuseLoop*>(loop);
  if (self->init_reply_ != nullptr) return self->init_reply_->send(fd, parts, count);
  const ssize_t written = ::writev(fd, parts, count);
  // Notifications of ours have no number.
  const bool is_answer = static_cast<const fuse_out_header*>(parts[0].iov_base)->unique != 0;
  if (is_answer) self->options_.journal->note_answered();
  return written;
}

void* FuseLoop::userdata_of(fuse_req* request) {
  return static_cast<const FuseLoop*>(fuse_req_userdata(request))->userdata_;
}

std::uint64_t FuseLoop::unique_in_hand() { return unique_here; }

void FuseLoop::SessionDeleter::operator()(fuse_session* session) const {
  fuse_session_destroy(session);
}

FuseLoop::FuseLoop(FuseSessionOptions options, Logger& log)
    : options_(std::move(options)), log_(log), notifier_(log) {}

FuseLoop::~FuseLoop() { notifier_.stop(); }

Result<std::unique_ptr<FuseLoop>> FuseLoop::create(const FuseSessionOptions& options, Logger& log) {
  if (options.dev_fd < 0 || options.threads == 0 || options.journal == nullptr) {
    return {ErrorCode::kInvalidArgument, "a FUSE session needs a descriptor, a thread, a journal"};
  }
  if (!is_init_request(options.init_request)) {
    return {ErrorCode::kInvalidArgument, "the saved first FUSE request is not INIT"};
  }
  std::unique_ptr<FuseLoop> loop(new FuseLoop(options, log));
  if (auto done = loop->prepare(); !done) return done.error();
  return loop;
}

Result<void> FuseLoop::prepare() {
  // Shared with the keeper, which does not read.
  const int flags = ::fcntl(options_.dev_fd, F_GETFL);
  if (flags < 0 || ::fcntl(options_.dev_fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    return system_error(errno, "the FUSE descriptor");
  }
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_ || !wake_) return system_error(errno, "epoll for FUSE requests");
  epoll_event requests{};
  // One wake-up for each request that arrives, to one thread: it reads until nothing is left.
  requests.events = EPOLLIN | EPOLLET;
  epoll_event wake{};
  wake.events = EPOLLIN;  // stays readable, so that it wakes one thread after the other
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, options_.dev_fd, &requests) < 0 ||
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &wake) < 0) {
    return system_error(errno, "epoll for FUSE requests");
  }
  return {};
}

Result<void> FuseLoop::open_session(const fuse_lowlevel_ops& ops, void* userdata) {
  userdata_ = userdata;
  fuse_lowlevel_ops own = ops;
  own.init = negotiate;
  own.destroy = nullptr;
  own.flush = nullptr;
  char name[] = "hubvfs";
  char* argv[] = {name, nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, argv);
  session_.reset(fuse_session_new(&args, &own, sizeof own, this));
  fuse_opt_free_args(&args);
  if (!session_) return {ErrorCode::kInternal, "libfuse could not make a session"};
  UniqueFd device(::fcntl(options_.dev_fd, F_DUPFD_CLOEXEC, 0));
  if (!device) return system_error(errno, "the FUSE descriptor");
  fuse_custom_io io{};
  io.writev = write_hook;
  io.read = hook_read;
  if (const int failed = fuse_session_custom_io(session_.get(), &io, device.get()); failed != 0) {
    return system_error(-failed, "libfuse refused the FUSE descriptor");
  }
  static_cast<void>(device.release());  // the session closes it
  return {};
}

Result<void> FuseLoop::answer_init() {
  InitReply reply;
  reply.parallel_lookups = offers_parallel_lookups(options_.init_request);
  reply.passthrough = options_.passthrough && offers_passthrough(options_.init_request);
  fuse_buf request{};
  request.mem = options_.init_request.data();
  request.size = options_.init_request.size();
  init_reply_ = &reply;
  fuse_session_process_buf(session_.get(), &request);
  init_reply_ = nullptr;
  if (reply.failed != 0) return system_error(reply.failed, "answering the kernel's INIT");
  if (reply.refused != 0) {
    return system_error(reply.refused, "libfuse cannot serve this kernel's FUSE version");
  }
  if (reply.late) {
    log_.info("taking over a mount that is already served: asking for its unanswered requests");
    return write_resend(options_.dev_fd);
  }
  if (!reply.sent) return {ErrorCode::kInternal, "libfuse gave no answer to INIT"};
  return {};
}

Result<void> FuseLoop::run(const fuse_lowlevel_ops& ops, void* userdata) {
  if (session_) return {ErrorCode::kInvalidArgument, "a FUSE session runs only once"};
  if (auto opened = open_session(ops, userdata); !opened) return opened;
  if (auto answered = answer_init(); !answered) return answered;
  notifier_.start(session_.get());
  if (options_.on_ready) options_.on_ready();
  std::vector<std::thread> threads;
  threads.reserve(options_.threads);
  try {
    while (threads.size() < options_.threads) threads.emplace_back([this] { serve(); });
  } catch (const std::system_error& e) {
    log_.warning("serving with " + std::to_string(threads.size()) + " threads: " + e.what());
    if (threads.empty()) end(EAGAIN);
  }
  for (std::thread& thread : threads) thread.join();
  notifier_.stop();
  if (const int failure = failure_; failure != 0) {
    return system_error(failure, "reading FUSE requests");
  }
  return {};
}

void FuseLoop::stop() { end(0); }

void FuseLoop::end(int failure) {
  int none = 0;
  if (failure != 0) failure_.compare_exchange_strong(none, failure);
  ended_ = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

void FuseLoop::serve() {
  const NoBlockScope answers_the_kernel;
  // Written to here, so that its pages exist: a copy into absent ones that SIGKILL interrupts is an
  // EIO for the application, where a request not yet taken would be sent again.
  Bytes buffer(kReceiveBytes);
  const std::size_t slot = options_.journal->claim_slot();
  while (!ended_) {
    if (receive(buffer, slot) || ended_) continue;
    epoll_event event{};
    if (::epoll_wait(epoll_.get(), &event, 1, -1) < 0 && errno != EINTR) end(errno);
  }
}

void FuseLoop::handle(Bytes& buffer, std::size_t size, std::size_t slot) {
  fuse_buf request{};
  request.mem = buffer.data();
  request.size = size;
  fuse_in_header header{};
  std::memcpy(&header, buffer.data(), sizeof header);
  if (!wants_answer(header.opcode)) {
    fuse_session_process_buf(session_.get(), &request);
    return;
  }
  RequestJournal& journal = *options_.journal;
  if (journal.refuses(options_.number, header.unique)) {
    log_.error("a request (opcode " + std::to_string(header.opcode) + ", node " +
               std::to_string(header.nodeid) +
               ") that two workers died of is answered EIO; please report it with this log");
    const fuse_out_header answer{sizeof answer, -EIO, header.unique};
    [[maybe_unused]] const ssize_t written = ::write(options_.dev_fd, &answer, sizeof answer);
    journal.note_answered();
    return;
  }
  const RequestJournal::InHand in_hand(journal, slot, options_.number, header.unique);
  const GivenToLibfuse given(header.unique);
  fuse_session_process_buf(session_.get(), &request);
}

// False when there is nothing to read just now.
bool FuseLoop::receive(Bytes& buffer, std::size_t slot) {
  const ssize_t n = ::read(options_.dev_fd, buffer.data(), buffer.size());
  if (n >= static_cast<ssize_t>(sizeof(fuse_in_header))) {
    handle(buffer, static_cast<std::size_t>(n), slot);
    return true;
  }
  if (n >= 0) {
    end(EIO);
    return true;
  }
  switch (errno) {
    case EAGAIN:
      return false;
    case EINTR:
    case ENOENT:  // the request was interrupted before it was taken
      return true;
    case ENODEV:        // unmounted
    case ECONNABORTED:  // the connection was aborted
      end(0);
      return true;
    default:
      end(errno);
      return true;
  }
}

}  // namespace hubvfs::fs
