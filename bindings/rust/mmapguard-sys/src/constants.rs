// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every constant of the header, with the same name.

use crate::mmg_status;

include!("common/constants.rs");
