//! What a report was measured on, as far as the system tells.

use std::fs;

use serde::Serialize;

/// The machine and the build. Unknown is none.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Operating system and architecture.
    pub system: String,
    /// The processor's own name.
    pub processor: Option<String>,
    /// Threads that the process may run at once.
    pub threads: usize,
    /// Vector extensions that matter here and that the processor has.
    pub vector_extensions: Vec<&'static str>,
    /// Whether Ringfence was built with vector code for AVX-512.
    pub avx512_feature: bool,
    /// Runnable processes over the last minute before measuring: what else the machine did.
    pub load_average: Option<f64>,
    /// Version of Ringfence.
    pub version: &'static str,
}

/// Vector extensions that Ringfence, tfhe and BLAKE3 choose code by.
const EXTENSIONS: [&str; 4] = ["avx2", "avx512f", "avx512ifma", "asimd"];

impl Machine {
    /// This one, now.
    pub fn here() -> Self {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |names: [&str; 2]| {
            let line = |line: &str| {
                let (name, value) = line.split_once(':')?;
                names.contains(&name.trim()).then(|| value.trim().to_owned())
            };
            processors.lines().find_map(line)
        };
        // "flags" on x86-64, "Features" on AArch64.
        let flags = field(["flags", "Features"]).unwrap_or_default();
        let has = |name: &&str| flags.split_whitespace().any(|flag| flag == *name);
        let load = fs::read_to_string("/proc/loadavg").ok();
        Self {
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: field(["model name", "Model"]),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            vector_extensions: EXTENSIONS.into_iter().filter(has).collect(),
            avx512_feature: cfg!(feature = "avx512"),
            load_average: load.and_then(|text| text.split_whitespace().next()?.parse().ok()),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}
