// SPDX-License-Identifier: Apache-2.0
// A target needs a source; what counts is the header compiled for it (precompiled.cmake).
