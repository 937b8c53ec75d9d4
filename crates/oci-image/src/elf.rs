//! Decides whether a binary can run in an image that holds nothing else: it must be a static
//! 64-bit ELF executable. It reads the program headers only.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    /// A static executable for the architecture of this name, as OCI spells it.
    Static(&'static str),
    Dynamic,
    NotElf,
    OtherArchitecture,
}

/// Looks at the file at `path`.
pub(crate) fn inspect(path: &Path) -> io::Result<Binary> {
    let mut file = File::open(path)?;
    let mut header = [0_u8; 64];
    if let Err(error) = file.read_exact(&mut header) {
        return if error.kind() == io::ErrorKind::UnexpectedEof {
            Ok(Binary::NotElf)
        } else {
            Err(error)
        };
    }
    // Magic, 64-bit class, little endian.
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(Binary::NotElf);
    }
    let architecture = match number(&header, 18, 2) {
        62 => "amd64",
        183 => "arm64",
        243 => "riscv64",
        _ => return Ok(Binary::OtherArchitecture),
    };
    let table_offset = number(&header, 32, 8);
    let entry_bytes = number(&header, 54, 2);
    let entry_count = number(&header, 56, 2);
    file.seek(SeekFrom::Start(table_offset))?;
    let mut table = Vec::new();
    file.take(entry_bytes * entry_count).read_to_end(&mut table)?;
    // A dynamically linked program names its loader in a segment of type PT_INTERP (3). A static
    // position-independent one has PT_DYNAMIC too, so that segment says nothing.
    let entry_bytes = usize::try_from(entry_bytes).unwrap_or(0).max(1);
    let dynamic = table.chunks(entry_bytes).any(|entry| number(entry, 0, 4) == 3);
    Ok(if dynamic { Binary::Dynamic } else { Binary::Static(architecture) })
}

/// A little-endian number of `width` bytes at `offset`; bytes that are missing count as zero.
fn number(bytes: &[u8], offset: usize, width: usize) -> u64 {
    bytes
        .iter()
        .skip(offset)
        .take(width)
        .zip((0_u32..).step_by(8))
        .fold(0, |sum, (byte, shift)| sum | u64::from(*byte) << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_test_binary_is_a_static_executable() {
        let own = std::env::current_exe().expect("own path");
        assert!(matches!(inspect(&own).expect("readable"), Binary::Static(_)));
    }

    #[test]
    fn a_program_of_the_system_is_dynamic_and_a_script_is_no_program() {
        let shell = Path::new("/bin/ls");
        if shell.exists() {
            assert_eq!(inspect(shell).expect("readable"), Binary::Dynamic);
        }
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), "#!/bin/sh\n").expect("written");
        assert_eq!(inspect(file.path()).expect("readable"), Binary::NotElf);
    }
}
