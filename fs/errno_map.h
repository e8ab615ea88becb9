// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.h"

namespace hubvfs::fs {

// The errno a program sees for each error (design, section 9). Never EAGAIN or EINTR: Python takes
// them for the end of the data.
int to_errno(ErrorCode code);

}  // namespace hubvfs::fs
