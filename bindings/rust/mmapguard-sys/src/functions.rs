// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls. What each comment says of the ABI is what `mmapguard.h` says.

use std::os::raw::{c_char, c_void};

use crate::{
    mmg_error, mmg_handle, mmg_info, mmg_loss, mmg_options, mmg_span, mmg_stats, mmg_status, ArrowArray,
    ArrowSchema,
};

include!("common/functions.rs");
