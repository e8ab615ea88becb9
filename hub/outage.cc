// SPDX-License-Identifier: Apache-2.0
#include "hub/outage.h"

namespace hubvfs::hub {

bool Outage::note_answer() {
  ++answers_;
  failures_ = 0;
  const bool was_down = error_.has_value();
  error_.reset();
  return was_down;
}

bool Outage::note_failure(const Error& error, bool answered, TimePoint now) {
  ++failures_;
  const bool begins = !error_ && (!answered || failures_ >= 2);
  if (begins) probe_at_ = now + kProbeEvery;
  if (begins || error_) error_ = error;
  return begins;
}

Outage::Verdict Outage::admit(TimePoint now) {
  if (!error_) return Verdict::kAsk;
  if (now < probe_at_) return Verdict::kDoNotAsk;
  probe_at_ = now + kProbeEvery;
  return Verdict::kProbe;
}

}  // namespace hubvfs::hub
