//! Reads every file of a folder and prints a Markdown table of what came of it.
//!
//! `cargo run --release -p ringfence-imaging --example formats -- FOLDER [--stored VALUES_FOLDER]`
//!
//! With `--stored` the values of each file that was read are written to the second folder as raw
//! little-endian f32, all slices one after the other, to be compared with other software's.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use ringfence_imaging::{Intensity, ReadOptions, Stack, read};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let stored = match arguments.next() {
        Some(option) if option == "--stored" => {
            Some(PathBuf::from(arguments.next().ok_or("--stored: which folder?")?))
        }
        Some(other) => return Err(format!("unknown option {}", other.display()).into()),
        None => None,
    };
    let mut files = Vec::new();
    collect(&folder, &mut files)?;
    files.sort();
    println!("| file | format | width x height x slices | bits | transfer syntax | result |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut refused = 0;
    for path in &files {
        let name = path.strip_prefix(&folder)?.display();
        match read(path, &ReadOptions::default()) {
            Ok(stack) => println!("| {name} | {} | read |", describe(&stack)),
            Err(error) => {
                refused += 1;
                println!("| {name} | | | | | {} |", error.fault);
            }
        }
        if let Some(target) = &stored {
            write_values(path, &target.join(name.to_string().replace('/', "__")))?;
        }
    }
    println!("\n{} files: {} read, {refused} refused", files.len(), files.len() - refused);
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if !path.extension().is_some_and(|extension| extension == "md" || extension == "csv")
        {
            files.push(path);
        }
    }
    Ok(())
}

fn describe(stack: &Stack) -> String {
    let info = &stack.info;
    let channels = if info.channels == 1 { String::new() } else { format!("{} x ", info.channels) };
    let syntax = info.transfer_syntax.as_ref().map_or("", |(_, name)| name);
    let size = format!("{} x {} x {}", stack.width, stack.height, info.slices);
    format!("{} | {size} | {channels}{} | {syntax}", info.format, info.bits)
}

/// The grey values and the stored ones; nothing where the file is refused.
fn write_values(path: &Path, target: &Path) -> Result<(), Box<dyn Error>> {
    for (intensity, ending) in [(Intensity::Auto, "grey"), (Intensity::Stored, "stored")] {
        let Ok(stack) = read(path, &ReadOptions { intensity, ..ReadOptions::default() }) else {
            continue;
        };
        let values = stack.planes.iter().flat_map(|plane| &plane.values);
        let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
        fs::write(target.with_added_extension(ending), bytes)?;
    }
    Ok(())
}
