//! Milliseconds for one bcrypt verification at the default cost. It is the fastest of five, so that other
//! load on the machine matters less.
#![allow(clippy::print_stdout, reason = "this is the result")]

use std::hint::black_box;
use std::time::Instant;

const COST: u32 = 12;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hash = bcrypt::hash("long enough", COST)?;
    let mut fastest = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        let verified = bcrypt::verify(black_box("long enough"), &hash)?;
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1000.0);
        assert!(verified, "the password matches the hash");
    }
    println!("{fastest:.2}");
    Ok(())
}
