//! Tries inputs one after the other, within limits of time and memory. An input is on disk before
//! it is tried: whatever becomes of the process, the input can be tried again.

use std::fs;
use std::io::{self, Write as _};
use std::panic;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::mutate::Mutator;
use crate::targets::Target;

/// An input that takes longer is a finding. Far above what the slowest takes on a busy computer.
const INPUT_MAX: Duration = Duration::from_secs(30);

/// More memory than this is refused to the process, which then ends. The platform needs the most:
/// its store, its threads, and an image that is being read.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

/// How long to go on, from which seed, and where the input is kept that is being tried.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) secs: u64,
    pub(crate) seed: u64,
    pub(crate) keep: PathBuf,
}

/// Bounds the memory, and lets a panic in any thread end the process.
pub(crate) fn prepare() -> io::Result<()> {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        tell(info);
        std::process::abort();
    }));
    let Rlimit { maximum, .. } = getrlimit(Resource::Data);
    Ok(setrlimit(Resource::Data, Rlimit { current: Some(MEMORY_BYTES_MAX), maximum })?)
}

pub(crate) fn one(target: Target, input: &[u8]) -> io::Result<()> {
    let mut bench = target.bench()?;
    watched(|tried| {
        bench.attempt(input);
        tried();
    });
    writeln!(io::stdout(), "{target}: nothing found")
}

#[expect(clippy::disallowed_methods, reason = "the one clock of this program: when it is time")]
pub(crate) fn many(target: Target, plan: &Plan) -> io::Result<()> {
    let seeds = target.seeds()?;
    let mut mutator = Mutator::new(plan.seed, &seeds);
    let mut bench = target.bench()?;
    let end = Instant::now() + Duration::from_secs(plan.secs);
    let mut count = 0_u64;
    let mut kept = Ok(());
    watched(|tried| {
        while Instant::now() < end && kept.is_ok() {
            // The seeds themselves come first.
            let seed = usize::try_from(count).ok().and_then(|index| seeds.get(index));
            let input = seed.cloned().unwrap_or_else(|| target.varied(&mut mutator, &seeds));
            kept = fs::write(&plan.keep, &input);
            bench.attempt(&input);
            count += 1;
            tried();
        }
    });
    kept?;
    fs::remove_file(&plan.keep)?;
    writeln!(io::stdout(), "{target}: {count} inputs in {} s, seed {}", plan.secs, plan.seed)
}

/// Runs the work and ends the process where it does not say for too long that it got on.
fn watched(work: impl FnOnce(&dyn Fn())) {
    let (say, heard) = channel();
    let watch = thread::spawn(move || watch(&heard));
    work(&|| say.send(()).expect("the watch listens until the end"));
    drop(say);
    watch.join().expect("the watch does nothing that can fail");
}

#[expect(clippy::print_stderr, reason = "the finding, told by the process that ends of it")]
fn watch(heard: &Receiver<()>) {
    loop {
        match heard.recv_timeout(INPUT_MAX) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                eprintln!("the input takes longer than {} s", INPUT_MAX.as_secs());
                std::process::abort();
            }
        }
    }
}
