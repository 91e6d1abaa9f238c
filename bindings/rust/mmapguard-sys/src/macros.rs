// SPDX-License-Identifier: MIT OR Apache-2.0
//! Macros that declare items, and also make a table of them for the test that compares the declarations with
//! the recorded ABI. The table exists in that test only.

macro_rules! constants {
    ($($(#[$about:meta])* $name:ident: $type:ty = $value:expr;)*) => {
        $($(#[$about])* pub const $name: $type = $value;)*

        /// Name, value, type.
        #[cfg(test)]
        pub(crate) fn constant_table() -> Vec<(&'static str, i128, &'static str)> {
            vec![$((stringify!($name), i128::from($name), stringify!($type))),*]
        }
    };
}

macro_rules! structs {
    ($($(#[$about:meta])* pub struct $name:ident { $($(#[$what:meta])* $member:ident: $type:ty,)* })*) => {
        $(
            $(#[$about])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug)]
            pub struct $name { $($(#[$what])* pub $member: $type,)* }
        )*

        #[cfg(test)]
        pub(crate) fn struct_table() -> Vec<crate::test_abi::Struct> {
            vec![$({
                let place = std::mem::MaybeUninit::<$name>::uninit();
                crate::test_abi::Struct {
                    name: stringify!($name),
                    size: std::mem::size_of::<$name>(),
                    alignment: std::mem::align_of::<$name>(),
                    members: vec![$(crate::test_abi::Member {
                        name: stringify!($member),
                        // SAFETY: `addr_of!` only computes an address inside `place`.
                        offset: unsafe { std::ptr::addr_of!((*place.as_ptr()).$member) as usize }
                            - place.as_ptr() as usize,
                        size: std::mem::size_of::<$type>(),
                        r#type: stringify!($type),
                    }),*],
                }
            }),*]
        }
    };
}

macro_rules! functions {
    ($($(#[$about:meta])* pub fn $name:ident($($parameter:ident: $type:ty),*) -> $returns:ty;)*) => {
        extern "C" {
            $($(#[$about])* pub fn $name($($parameter: $type),*) -> $returns;)*
        }

        #[cfg(test)]
        pub(crate) fn function_table() -> Vec<crate::test_abi::Function> {
            vec![$(crate::test_abi::Function {
                name: stringify!($name),
                address: $name as *const () as usize,
                returns: stringify!($returns),
                parameters: vec![$((stringify!($parameter), stringify!($type))),*],
            }),*]
        }
    };
}
