// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts instructions in user space and system calls, which do not depend on other load of the machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::contenders::COUNTED;

/// An open and close of a 4 KiB file may take so many instructions with the crates that copy such a file. A
/// mapping takes more, since it must be registered with the guard, and the SIGBUS handler must be checked.
const MOST: u64 = 2070;
const COPIED: [&str; 2] = ["compat", "contained"];

/// Returns the limit for the compiler that has built the C library into this program. The limit holds for GCC 12.
/// The code of another compiler may take 3 percent more, as in `tests/cost`.
fn most() -> u64 {
    let program = std::env::current_exe().expect("a program");
    let output = Command::new("readelf").arg("--string-dump=.comment").arg(program).output();
    let compilers = String::from_utf8_lossy(&output.expect("readelf is installed").stdout).into_owned();
    let is_gcc_12 = compilers.lines().any(|line| line.contains("GCC: ") && line.contains(") 12."));
    if is_gcc_12 && !compilers.contains("clang") {
        MOST
    } else {
        MOST * 103 / 100
    }
}

/// Counts with a program that says what it has counted. Returns the number for one repetition, from the difference of
/// two runs, so that the start of the program is not counted.
fn count_by(counter: &[&str], number_in: fn(&str) -> Option<&str>, name: &str, file: &Path) -> u64 {
    const TIMES: [u64; 2] = [200, 1200];
    let [few, many] = TIMES.map(|times| {
        let program = std::env::current_exe().expect("a program");
        let mut command = Command::new(counter[0]);
        command.args(&counter[1..]).arg(program).args(["repeat", name, &times.to_string()]).arg(file);
        let output = command.output().expect("the program that counts is installed");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        number_in(&told).and_then(|number| number.parse::<u64>().ok()).expect("a number")
    });
    (many - few) / (TIMES[1] - TIMES[0])
}

fn count(name: &str, file: &Path) -> u64 {
    let counter = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
    count_by(
        &counter,
        |told| told.lines().find(|line| line.contains("Collected"))?.rsplit(' ').next(),
        name,
        file,
    )
}

/// Returns the system calls of one repetition. The last line of strace has their sum in its fourth column.
fn count_calls(name: &str, file: &Path) -> u64 {
    count_by(&["strace", "-f", "-c"], |told| told.lines().last()?.split_whitespace().nth(3), name, file)
}

pub fn print() {
    let file = std::env::temp_dir().join(format!("mmapguard-bench-{}", std::process::id()));
    fs::write(&file, vec![7; 4096]).expect("a file is written");
    let (mut passed, most) = (true, most());
    println!("| open and close of 4 KiB | instructions |\n|---|---|");
    for name in COUNTED {
        let instructions = count(name, &file);
        println!("| {name} | {instructions} |");
        if COPIED.contains(&name) && instructions > most {
            eprintln!("bench: {name} takes {instructions} instructions, and at most {most} are allowed");
            passed = false;
        }
    }
    fs::write(&file, vec![7; 1 << 20]).expect("a file is written");
    println!("\n| open and close of 1 MiB | instructions | system calls |\n|---|---|---|");
    for name in &COUNTED[1..] {
        println!("| {name} | {} | {} |", count(name, &file), count_calls(name, &file));
    }
    let (span, pin) = (count("span", &file), count("pin", &file));
    println!(
        "\n| pin and unpin of 64 bytes | instructions |\n|---|---|\n| in C | {pin} |\n| `Span` | {span} |"
    );
    if span * 10 > pin * 12 {
        eprintln!("bench: a `Span` takes {span} instructions, which is more than 1.2 times the {pin} of C");
        passed = false;
    }
    let _ = fs::remove_file(&file);
    std::process::exit(if passed { 0 } else { 1 });
}
