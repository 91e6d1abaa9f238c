// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the table. The owner of a file, another user, a process on an overlay and one on a tmpfs are each measured
//! in a process of their own.

use std::fs::{self, File};
use std::os::unix::fs::{chown, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::contenders::{Contender, Reading, ALL, RIVALS};

const SIZES: [(&str, u64); 5] =
    [("4 KiB", 4 << 10), ("70 kB", 70_000), ("1 MiB", 1 << 20), ("2 MiB", 2 << 20), ("1 GiB", 1 << 30)];
/// Files up to this size have bytes. A larger one is a hole, so that a small disk suffices.
const WITH_BYTES: u64 = 2 << 20;
/// The lines for each user: the name of a file, and what is read of it.
const LINES: [(&str, &str, Reading); 6] = [
    ("4 KiB", "4 KiB", Reading::First),
    ("70 kB", "70 kB", Reading::First),
    ("1 MiB", "1 MiB", Reading::First),
    ("1 MiB, every page", "1 MiB", Reading::EveryPage),
    ("2 MiB", "2 MiB", Reading::First),
    ("1 GiB", "1 GiB", Reading::First),
];
const OWNER: u32 = 65_534;
const STRANGER: u32 = 65_533;
const ROUNDS: usize = 301;
/// A contender that takes longer than this is measured in fewer rounds.
const SLOW: Duration = Duration::from_millis(5);

/// A folder that is removed with the value, together with the file systems mounted in it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn files(folder: &Path, largest: u64) {
    fs::create_dir_all(folder).expect("a folder");
    for (name, size) in SIZES.into_iter().filter(|(_, size)| *size <= largest) {
        let path = folder.join(name);
        if size <= WITH_BYTES {
            fs::write(&path, vec![7; size as usize]).expect("a file is written");
        } else {
            File::create(&path).and_then(|file| file.set_len(size)).expect("a file is made");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("readable for all");
        chown(&path, Some(OWNER), None).expect("root can give files away");
    }
}

pub fn print() {
    let folder = Folder(std::env::temp_dir().join(format!("mmapguard-bench-{}", std::process::id())));
    files(&folder.0.join("lower"), u64::MAX);
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).expect("to be entered by all");
    // The program may be in a folder that other users cannot enter.
    let program = folder.0.join("bench");
    fs::copy(std::env::current_exe().expect("a program"), &program).expect("a copy");
    for name in ["upper", "work", "merged"] {
        fs::create_dir(folder.0.join(name)).expect("a folder");
    }

    let names: Vec<_> = ALL.iter().map(|contender| contender.name).collect();
    println!("| who, how large | {} |\n|---{}|", names.join(" | "), "|---".repeat(names.len()));
    let measure = |who: &str, mut command: Command| {
        let output = command.output().expect("it starts");
        assert!(output.status.success(), "{who}: {}", String::from_utf8_lossy(&output.stderr));
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            println!("| {who}, {line}");
        }
    };
    for (who, user) in [("owner", OWNER), ("stranger", STRANGER)] {
        let mut command = Command::new(&program);
        command.arg("measure").arg(folder.0.join("lower")).uid(user).gid(user);
        measure(who, command);
    }
    // The script runs in a mount namespace, so that nothing stays mounted.
    let script = r#"mount -t overlay overlay -o "lowerdir=$0/lower,upperdir=$0/upper,workdir=$0/work" "$0/merged" &&
        exec setpriv --reuid=65533 --regid=65533 --clear-groups "$0/bench" measure "$0/merged""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(&folder.0);
    measure("overlay", command);
    let memory = Folder(Path::new("/dev/shm").join(folder.0.file_name().expect("a name")));
    files(&memory.0, WITH_BYTES);
    let mut command = Command::new(&program);
    command.arg("measure").arg(&memory.0).uid(OWNER).gid(OWNER);
    measure("tmpfs", command);
}

/// Measures in a folder, as the current user, and prints a line for each size that is there.
pub fn measure(folder: &Path) {
    let lines: Vec<_> = LINES.into_iter().filter(|(_, file, _)| folder.join(file).exists()).collect();
    let cases: Vec<_> = lines.iter().map(|(_, file, what)| (folder.join(file), *what)).collect();
    let mut cells: Vec<Vec<String>> = cases.iter().map(|case| in_turn(&ALL[..RIVALS], case)).collect();
    // Leases have a thread, and a process with threads opens and unmaps at another cost. So what takes leases is
    // measured after all others.
    for (line, case) in cells.iter_mut().zip(&cases) {
        ALL[RIVALS..]
            .iter()
            .for_each(|contender| line.append(&mut in_turn(std::slice::from_ref(contender), case)));
    }
    for ((name, ..), line) in lines.iter().zip(cells) {
        println!("{name} | {} |", line.join(" | "));
    }
}

/// Measures contenders in turn, and returns their cells.
fn in_turn(contenders: &[Contender], case: &(PathBuf, Reading)) -> Vec<String> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    let slow: Vec<bool> = contenders.iter().map(|contender| once(contender.run, case, 1) > SLOW).collect();
    for round in 0..ROUNDS {
        // Another contender starts in each round, so that none is always the first one.
        for place in 0..contenders.len() {
            let who = (place + round) % contenders.len();
            if !slow[who] || round < 3 {
                let repetitions = if slow[who] { 1 } else { 20 };
                times[who].push(once(contenders[who].run, case, repetitions).as_secs_f64() * 1e6);
            }
        }
    }
    (0..contenders.len())
        .map(|who| {
            let time = shown(median(times[who].clone()));
            match who {
                1 | 3 => {
                    let pairs = times[who].iter().zip(&times[who - 1]);
                    format!("{time} ({:.2})", median(pairs.map(|(ours, theirs)| ours / theirs).collect()))
                }
                _ => time,
            }
        })
        .collect()
}

/// Returns the time of one repetition, measured over so many.
fn once(run: fn(&Path, Reading) -> u8, (path, what): &(PathBuf, Reading), repetitions: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..repetitions {
        std::hint::black_box(run(path, *what));
    }
    start.elapsed() / repetitions
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn shown(microseconds: f64) -> String {
    match microseconds {
        few if few < 1000.0 => format!("{few:.1} µs"),
        many => format!("{:.0} ms", many / 1000.0),
    }
}
