//! Writes the folder of docs/audit.md, by that page.

use std::fs;
use std::path::Path;

use ringfence_crypto::wire::json;
use ringfence_testkit::Record;

/// Everything of a study into a folder.
pub(crate) fn export(record: &Record, to: &Path) {
    fs::create_dir_all(to.join("log")).unwrap();
    fs::create_dir_all(to.join("rounds")).unwrap();
    fs::write(to.join("study.json"), json::pretty(&record.study_file())).unwrap();
    fs::write(to.join("log/checkpoint"), record.checkpoint().1.to_string()).unwrap();
    let entries: String = record.entries.iter().map(|entry| format!("{entry}\n")).collect();
    fs::write(to.join("log/entries.txt"), entries).unwrap();
    for (number, of) in record.rounds.iter().enumerate() {
        let proof = record.proof(number).to_bytes();
        fs::write(to.join(format!("rounds/{number}.proof.json")), proof).unwrap();
        let Some(sum) = &of.sum else { continue };
        fs::write(to.join(format!("rounds/{number}.sum")), sum).unwrap();
        let bodies = to.join(format!("rounds/{number}.bodies"));
        fs::create_dir_all(&bodies).unwrap();
        for (site, body) in &of.bodies {
            fs::write(bodies.join(site.as_str()), body).unwrap();
        }
    }
}
