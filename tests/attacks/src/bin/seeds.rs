//! Writes the seeds of every target into `fuzz/corpus/<target>/`, beside what is there already.

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (number, (target, input)) in ditto_attacks::seeds().into_iter().enumerate() {
        fs::create_dir_all(corpus.join(target))?;
        fs::write(corpus.join(target).join(format!("seed-{number:03}")), input)?;
    }
    Ok(())
}
