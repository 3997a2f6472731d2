//! What a server of the tests held and was sent, kept for `evidence`.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

/// Makes the server keep every key and value that it ever held, those that are gone included, as
/// it wrote them: what it acknowledged is in the file, however it ends.
pub(super) fn history(dir: &Path, evidence: Option<&Path>) -> Vec<OsString> {
    let arguments = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
    let Some(kept) = evidence.map(|path| path.with_extension("aof")) else {
        let mut all = arguments(&["--appendonly", "no", "--dir"]);
        all.push(dir.into());
        return all;
    };
    std::fs::create_dir_all(&kept).expect("the evidence's folder is writable");
    let mut all = arguments(&["--appendonly", "yes", "--appendfsync", "no"]);
    all.extend(arguments(&["--auto-aof-rewrite-percentage", "0", "--dir"]));
    all.push(kept.into());
    all
}

/// Keeps every command with its arguments, messages to channels included.
///
/// Not of a server that wants a password from the start; and tests that close every connection
/// leave a gap. What the server then wrote is in its history.
pub(super) fn keep_what_is_sent(port: u16, evidence: &Path) {
    let path = evidence.with_extension("monitor");
    let mut file = std::fs::File::create(path).expect("the evidence is writable");
    let watch = move || -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"MONITOR\r\n")?;
        stream.read_exact(&mut [0; 5])?;
        Ok(stream)
    };
    let mut stream = watch();
    std::thread::spawn(move || {
        // Until the server is gone; bounded, because it may refuse one more client for ever.
        for _ in 0..1000 {
            let Ok(open) = &mut stream else { return };
            let _ = std::io::copy(open, &mut file);
            stream = watch();
        }
    });
}
