// SPDX-License-Identifier: MIT OR Apache-2.0
//! The structs that cross the border, member by member, and an initialiser for each.

use std::os::raw::c_char;

use crate::{mmg_handle, mmg_status};

include!("common/structs.rs");
