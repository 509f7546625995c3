//! Link options of the programs.

fn main() {
    println!("cargo::rerun-if-changed=packaging/build.rs");
    // One monitor runs for each container: at a fixed address its constants need no relocation, which saves 50 KiB of
    // memory in each. Its libraries, heap and stack stay at random addresses.
    println!("cargo::rustc-link-arg-bin=unitbox-monitor=-no-pie");
}
