// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the declarations with `abi/abi.json`: they must have exactly the same names, with the same
//! values, types, offsets and sizes. Also checks that the linked library has this ABI.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString};
use std::path::Path;

use tinyjson::JsonValue;

use crate::*;

pub(crate) struct Struct {
    pub name: &'static str,
    pub size: usize,
    pub alignment: usize,
    pub members: Vec<Member>,
}

pub(crate) struct Member {
    pub name: &'static str,
    pub offset: usize,
    pub size: usize,
    pub r#type: &'static str,
}

pub(crate) struct Function {
    pub name: &'static str,
    pub address: usize,
    pub returns: &'static str,
    pub parameters: Vec<(&'static str, &'static str)>,
}

type Object = HashMap<String, JsonValue>;

/// Returns the recorded ABI, which is in the repository of this crate.
fn recorded() -> Object {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../abi/abi.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    object(&text.parse::<JsonValue>().expect("abi.json is JSON")).clone()
}

fn object(value: &JsonValue) -> &Object {
    value.get().expect("an object")
}

fn array(value: &JsonValue) -> &Vec<JsonValue> {
    value.get().expect("an array")
}

fn text(value: &JsonValue) -> &str {
    value.get::<String>().expect("a string")
}

fn number(value: &JsonValue) -> f64 {
    *value.get::<f64>().expect("a number")
}

/// Returns the number of a constant, which is recorded as text.
fn decimal(value: &JsonValue) -> i128 {
    text(value).parse().expect("a decimal number")
}

/// Returns the Rust name for a C type.
fn spelled(c: &str) -> String {
    if let Some(length) = c.strip_prefix("char[") {
        return format!("[c_char; {}]", length.trim_end_matches(']'));
    }
    if let Some(inner) = c.strip_suffix("**") {
        return format!("*mut {}", spelled(&format!("{inner}*")));
    }
    let (base, pointer) = match c.strip_suffix('*') {
        Some(rest) => match rest.trim_end().strip_prefix("const ") {
            Some(base) => (base, "*const "),
            None => (rest.trim_end(), "*mut "),
        },
        None => (c, ""),
    };
    let base = match base {
        "uint8_t" => "u8",
        "int32_t" => "i32",
        "int64_t" => "i64",
        "uint32_t" => "u32",
        "uint64_t" => "u64",
        "char" => "c_char",
        "void" => "c_void",
        ours => {
            let ours = ours.strip_prefix("struct ").unwrap_or(ours);
            assert!(
                ours.starts_with("mmg_") || ours.starts_with("Arrow"),
                "a type that this test does not know: {c}"
            );
            ours
        }
    };
    format!("{pointer}{base}")
}

#[test]
fn every_constant_is_declared_with_its_value() {
    let recorded = recorded();
    let mut expected: BTreeMap<String, i128> = BTreeMap::new();
    for enumeration in array(&recorded["enumerations"]) {
        for (name, constant) in object(&object(enumeration)["constants"]) {
            expected.insert(name.clone(), decimal(&object(constant)["value"]));
        }
    }
    for (name, macro_) in object(&recorded["macros"]) {
        let macro_ = object(macro_);
        expected.insert(name.clone(), decimal(&macro_["value"]));
        let ours = constant_table().into_iter().find(|(ours, ..)| ours == name);
        assert_eq!(
            ours.map(|(.., r#type)| r#type.to_owned()),
            Some(spelled(text(&macro_["type"]))),
            "{name}"
        );
    }
    let declared: BTreeMap<String, i128> =
        constant_table().into_iter().map(|(name, value, _)| (name.to_owned(), value)).collect();
    assert_eq!(declared, expected);
}

#[test]
fn every_struct_has_the_recorded_layout() {
    let recorded = recorded();
    let expected = object(&recorded["structs"]);
    let declared = struct_table();
    assert_eq!(declared.len(), expected.len());
    for ours in declared {
        let theirs =
            object(expected.get(ours.name).unwrap_or_else(|| panic!("{} is not recorded", ours.name)));
        assert_eq!(ours.size, number(&theirs["size"]) as usize, "size of {}", ours.name);
        assert_eq!(ours.alignment, number(&theirs["alignment"]) as usize, "alignment of {}", ours.name);
        let members = array(&theirs["members"]);
        assert_eq!(ours.members.len(), members.len(), "members of {}", ours.name);
        for (member, recorded) in ours.members.iter().zip(members.iter().map(object)) {
            let place = format!("{}.{}", ours.name, member.name);
            assert_eq!(member.name, text(&recorded["name"]), "{place}");
            assert_eq!(member.offset, number(&recorded["offset"]) as usize, "offset of {place}");
            assert_eq!(member.size, number(&recorded["size"]) as usize, "size of {place}");
            assert_eq!(member.r#type, spelled(text(&recorded["type"])), "type of {place}");
        }
    }
}

#[test]
fn every_function_has_the_recorded_signature() {
    let recorded = recorded();
    let expected = object(&recorded["functions"]);
    let declared = function_table();
    assert_eq!(declared.len(), expected.len());
    for ours in declared {
        let theirs =
            object(expected.get(ours.name).unwrap_or_else(|| panic!("{} is not recorded", ours.name)));
        assert_ne!(ours.address, 0, "{} is linked", ours.name);
        assert_eq!(ours.returns, spelled(text(&object(&theirs["returns"])["type"])), "{} returns", ours.name);
        let parameters: Vec<(String, String)> = array(&theirs["parameters"])
            .iter()
            .map(object)
            .map(|p| (text(&p["name"]).to_owned(), spelled(text(&p["type"]))))
            .collect();
        let ours_of = |(name, r#type): &(&str, &str)| ((*name).to_owned(), (*r#type).to_owned());
        assert_eq!(ours.parameters.iter().map(ours_of).collect::<Vec<_>>(), parameters, "{}", ours.name);
    }
}

#[test]
fn type_names_are_aliases_of_what_is_recorded() {
    fn name_of<T>(_: T) -> &'static str {
        std::any::type_name::<T>()
    }
    let recorded = recorded();
    let expected = object(&recorded["types"]);
    assert_eq!(expected.len(), 2);
    assert_eq!(spelled(text(&object(&expected["mmg_handle"])["type"])), name_of::<mmg_handle>(0));
    assert_eq!(spelled(text(&object(&expected["mmg_status"])["type"])), name_of::<mmg_status>(0));
}

#[test]
fn the_library_is_of_this_abi() {
    // SAFETY: the call has no arguments.
    let abi = unsafe { mmg_abi_version() };
    let (major, minor) = (MMG_ABI >> 16, MMG_ABI & 0xffff);
    assert_eq!(abi >> 16, major);
    assert!((minor..=0xffff).contains(&(abi & 0xffff)));
    // SAFETY: the call has no arguments, and returns a static string.
    let version = unsafe { CStr::from_ptr(mmg_version()) };
    assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_file_is_opened_pinned_and_closed() {
    let path = CString::new(format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let expected = std::fs::read(path.to_str().unwrap()).unwrap();
    let mut handle = 0;
    let mut error = MMG_ERROR_INIT;
    let mut span = MMG_SPAN_INIT;
    let mut info = MMG_INFO_INIT;
    // SAFETY: every pointer is to a live value of its type, and the span is read while it is pinned.
    unsafe {
        assert_eq!(mmg_open(path.as_ptr(), &MMG_OPTIONS_INIT, &mut handle, &mut error), MMG_OK);
        assert_eq!(mmg_pin(handle, 0, MMG_TO_END, &mut span), MMG_OK);
        assert_eq!(mmg_info_get(handle, &mut info), MMG_OK);
        assert_eq!((info.size, info.pins), (expected.len() as u64, 1));
        assert_eq!(mmg_close(handle, MMG_CLOSE_STRICT), MMG_E_BUSY);
        assert_eq!(std::slice::from_raw_parts(span.data, span.size as usize), &expected[..]);
        assert_eq!(mmg_unpin(&mut span), MMG_OK);
        assert_eq!(mmg_close(handle, 0), MMG_OK);
        assert_eq!(mmg_close(handle, 0), MMG_E_HANDLE);
    }
}

#[test]
fn initialisers_are_what_the_library_makes() {
    let mut made = mmg_options { flags: 1, length: 2, ..MMG_OPTIONS_INIT };
    // SAFETY: `made` is as large as the size that is passed with it.
    assert_eq!(unsafe { mmg_options_init(&mut made, MMG_OPTIONS_INIT.struct_size) }, MMG_OK);
    assert_eq!(format!("{made:?}"), format!("{MMG_OPTIONS_INIT:?}"));
    let mut stats = MMG_STATS_INIT;
    // SAFETY: `stats` says its size.
    assert_eq!(unsafe { mmg_stats_get(&mut stats) }, MMG_OK);
}
