// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions. The comments are those of `mmapguard.h`.

use std::os::raw::{c_char, c_void};

use crate::{
    mmg_error, mmg_handle, mmg_info, mmg_loss, mmg_options, mmg_span, mmg_stats, mmg_status, ArrowArray,
    ArrowSchema,
};

include!("common/functions.rs");
