//! Samples of a latency, medians of runs, and what the system knows of a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Durations of the same thing, many times.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The value in microseconds that the given share of the samples does not exceed.
    pub(crate) fn micros(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).map_or(f64::NAN, |sample| sample.as_secs_f64() * 1e6)
    }
}

/// The middle one of several runs.
pub(crate) fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Resident memory in KiB.
pub(crate) fn resident_kib(pid: u32) -> Result<f64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("failed to read a process's status")?;
    let field =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in the status")?;
    field.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")
}

/// Time on a processor, over all threads.
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("failed to list a process's threads")? {
        // A thread that ends meanwhile takes its time with it.
        let Ok(times) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let (on_cpu, _) = times.split_once(' ').context("schedstat has one field")?;
        nanos += on_cpu.parse::<u64>().context("schedstat holds no number")?;
    }
    Ok(Duration::from_nanos(nanos))
}
