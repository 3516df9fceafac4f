//! What the fuzz targets share: bearerd's routes in this process, and models of other servers.

pub mod servers;
pub mod service;

/// The lines of an input, as text. Bytes that are not UTF-8 become replacement characters.
pub fn lines(data: &[u8]) -> Vec<String> {
    data.split(|&byte| byte == b'\n')
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect()
}
