// SPDX-License-Identifier: MIT OR Apache-2.0
//! The structs that functions take, and an initialiser for each one.

use std::os::raw::c_char;

use crate::{mmg_handle, mmg_status};

include!("common/structs.rs");
