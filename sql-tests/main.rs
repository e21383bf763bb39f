#[allow(dead_code)]
mod rest;

fn main() {}
