//! What a running node uses of its machine, as proc(5) tells it.

use std::{fs, thread, time::Duration};

use super::Node;

/// What a node uses at one moment.
#[derive(Clone, Copy)]
pub struct Sample {
    /// KiB.
    pub rss: u64,
    pub descriptors: u64,
    pub threads: u64,
}

impl Sample {
    /// The least that it uses within a second.
    pub fn at_rest(node: &Node) -> Self {
        let mut least = Self::of(node);
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(100));
            let now = Self::of(node);
            least = Self {
                rss: least.rss.min(now.rss),
                descriptors: least.descriptors.min(now.descriptors),
                threads: least.threads.min(now.threads),
            };
        }
        least
    }

    pub fn of(node: &Node) -> Self {
        let of = format!("/proc/{}", node.pid());
        let status = fs::read_to_string(format!("{of}/status")).unwrap();
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        Self {
            rss: value("VmRSS:"),
            threads: value("Threads:"),
            descriptors: fs::read_dir(format!("{of}/fd")).unwrap().count() as u64,
        }
    }
}

/// The middle one of a figure.
pub fn median(samples: &[Sample], of: fn(&Sample) -> u64) -> u64 {
    let mut values: Vec<u64> = samples.iter().map(of).collect();
    values.sort_unstable();
    values[values.len() / 2]
}
