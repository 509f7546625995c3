//! Both ends of a lab machine's serial ports: `serve` runs commands in the guest, `call` asks for one from the host.
//!
//! One text line per message, so that whatever a killed partner left half-written ends at the next newline:
//! to the guest `run NONCE FLAG ARGV .` (FLAG `i`: input follows), `in NONCE DATA .`, `eof NONCE .`; to the host
//! `hello .` (the agent started), `ack NONCE .`, `out NONCE DATA .`, `err NONCE DATA .`, `end NONCE CODE .`. DATA is
//! hexadecimal, ARGV is NUL-joined DATA. A port serves one host process at a time: a new `run`, or the host's
//! going away, kills the job before it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio, exit};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The machine or its agent went away while the command ran.
const GONE: i32 = 255;
/// As timeout(1).
const TIMED_OUT: i32 = 124;
/// How long output is waited for that a child of the ended command may still hold open.
const LINGER: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = args
        .iter()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    match words.first().map(String::as_str) {
        Some("serve") => serve(),
        Some("call") => call(&args[1..]),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: vm_agent serve | call SOCKET [-i] [-t SECONDS] COMMAND...");
    ExitCode::from(125)
}

fn hex(data: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = data
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
    digits.map(char::from).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| {
        char::from(c)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|p| Some(digit(p[0])? << 4 | digit(*p.get(1)?)?))
        .collect()
}

/// A line's words, if it came whole.
fn words(line: &[u8]) -> Option<Vec<&str>> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix(" .\n")?;
    Some(text.split(' ').collect())
}

/// What happens to a job, in the order in which it is told to the host.
enum Event {
    Data(&'static str, Vec<u8>),
    Closed,
    Exited(i32),
}

struct Job {
    nonce: String,
    group: u32,
    input: Option<Sender<Vec<u8>>>,
}

fn serve() -> ExitCode {
    let ports = match lab_ports() {
        Ok(ports) if !ports.is_empty() => ports,
        Ok(_) => {
            eprintln!("no port of the lab");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("list the serial ports: {error}");
            return ExitCode::FAILURE;
        }
    };
    let threads: Vec<_> = ports
        .into_iter()
        .map(|p| thread::spawn(move || serve_port(&p)))
        .collect();
    for thread in threads {
        if let Ok(Err(error)) = thread.join() {
            eprintln!("serve a port: {error}");
        }
    }
    ExitCode::FAILURE
}

/// Device nodes of the ports that the lab named; by sysfs, since udev may not have run yet.
fn lab_ports() -> io::Result<Vec<String>> {
    let mut ports = Vec::new();
    for entry in fs::read_dir("/sys/class/virtio-ports")? {
        let entry = entry?;
        if fs::read_to_string(entry.path().join("name"))?.starts_with("lab.") {
            ports.push(format!("/dev/{}", entry.file_name().to_string_lossy()));
        }
    }
    Ok(ports)
}

fn serve_port(path: &str) -> io::Result<()> {
    let port = OpenOptions::new().read(true).write(true).open(path)?;
    let mut lines = BufReader::new(port.try_clone()?);
    let port = Arc::new(Mutex::new(port));
    // Waits until a host is there; reading must not wait for that.
    let greeter = Arc::clone(&port);
    thread::spawn(move || send(&greeter, "hello ."));
    let mut job: Option<Job> = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            end(job.take());
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        match words(&line).as_deref() {
            Some(["run", nonce, ..]) if job.as_ref().is_some_and(|j| j.nonce == *nonce) => {}
            Some(["run", nonce, flag, argv]) => {
                end(job.take());
                job = start(&port, nonce, *flag == "i", &unhex(argv).unwrap_or_default());
            }
            Some(["in", nonce, data]) => feed(job.as_mut(), nonce, unhex(data)),
            Some(["eof", nonce]) => feed(job.as_mut(), nonce, None),
            _ => {}
        }
    }
}

fn send(port: &Mutex<File>, message: &str) {
    if let Ok(mut port) = port.lock() {
        // A host that went away is noticed by the reader of the port.
        let _ = port.write_all(format!("{message}\n").as_bytes());
    }
}

fn start(port: &Arc<Mutex<File>>, nonce: &str, input: bool, argv: &[u8]) -> Option<Job> {
    send(port, &format!("ack {nonce} ."));
    let words: Vec<_> = argv
        .split(|b| *b == 0)
        .map(std::ffi::OsStr::from_bytes)
        .collect();
    let spawned = Command::new(words[0])
        .args(&words[1..])
        .current_dir("/root")
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .process_group(0)
        .stdin(if input { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let text = format!("run {}: {error}\n", words[0].to_string_lossy());
            send(port, &format!("err {nonce} {} .", hex(text.as_bytes())));
            let code = if error.kind() == io::ErrorKind::NotFound {
                127
            } else {
                126
            };
            send(port, &format!("end {nonce} {code} ."));
            return None;
        }
    };
    let job = Job {
        nonce: nonce.into(),
        group: child.id(),
        input: child.stdin.take().map(write_input),
    };
    let (port, nonce) = (Arc::clone(port), nonce.to_owned());
    let events = watch(child);
    thread::spawn(move || tell(&port, &nonce, &events));
    Some(job)
}

fn watch(mut child: Child) -> Receiver<Event> {
    let (events, receiver) = channel();
    copy("out", child.stdout.take(), events.clone());
    copy("err", child.stderr.take(), events.clone());
    thread::spawn(move || {
        let status = child.wait();
        let code = status.map_or(GONE, |s| {
            s.code().unwrap_or_else(|| 128 + s.signal().unwrap_or(0))
        });
        events.send(Event::Exited(code))
    });
    receiver
}

fn copy(kind: &'static str, from: Option<impl Read + Send + 'static>, events: Sender<Event>) {
    let Some(mut from) = from else { return };
    thread::spawn(move || {
        let mut buffer = vec![0; 32768];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if events
                .send(Event::Data(kind, buffer[..length].to_vec()))
                .is_err()
            {
                return;
            }
        }
        let _ = events.send(Event::Closed);
    });
}

/// Tells the host all output, then the end. A daemon that the command left behind may hold the pipes for ever.
fn tell(port: &Mutex<File>, nonce: &str, events: &Receiver<Event>) {
    let (mut open, mut code) = (2, None);
    while open > 0 || code.is_none() {
        let event = match code {
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => events.recv_timeout(LINGER),
        };
        match event {
            Ok(Event::Data(kind, data)) => send(port, &format!("{kind} {nonce} {} .", hex(&data))),
            Ok(Event::Closed) => open -= 1,
            Ok(Event::Exited(status)) => code = Some(status),
            Err(_) => break,
        }
    }
    send(port, &format!("end {nonce} {} .", code.unwrap_or(GONE)));
}

/// Kills what is left of a job's process group. What made itself a session or a unit of its own lives on.
fn end(job: Option<Job>) {
    if let Some(job) = job {
        let group = format!("-{}", job.group);
        let kill = Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
        if let Err(error) = kill {
            eprintln!("kill process group {group}: {error}; continuing");
        }
    }
}

/// Hands data to the job, `None` as its end. A job that does not read must not stop the port.
fn feed(job: Option<&mut Job>, nonce: &str, data: Option<Vec<u8>>) {
    let Some(job) = job.filter(|j| j.nonce == nonce) else {
        return;
    };
    let sent = match (data, &job.input) {
        (Some(data), Some(input)) => input.send(data).is_ok(),
        _ => false,
    };
    if !sent {
        job.input = None;
    }
}

fn write_input(mut to: ChildStdin) -> Sender<Vec<u8>> {
    let (sender, receiver) = channel::<Vec<u8>>();
    thread::spawn(move || receiver.iter().try_for_each(|data| to.write_all(&data)));
    sender
}

fn call(args: &[std::ffi::OsString]) -> ExitCode {
    let [socket, rest @ ..] = args else {
        return usage();
    };
    let (mut input, mut seconds, mut argv) = (false, None, rest);
    while let Some(option) = argv
        .first()
        .and_then(|o| o.to_str())
        .filter(|o| o.starts_with('-'))
    {
        match (
            option,
            argv.get(1)
                .and_then(|s| s.to_str())
                .and_then(|s| s.parse().ok()),
        ) {
            ("-i", _) => (input, argv) = (true, &argv[1..]),
            ("-t", Some(limit)) => (seconds, argv) = (Some(limit), &argv[2..]),
            _ => return usage(),
        }
    }
    if argv.is_empty() {
        return usage();
    }
    if let Some(seconds) = seconds {
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(seconds));
            eprintln!("vm: the command did not end in {seconds} s");
            exit(TIMED_OUT);
        });
    }
    let argv: Vec<_> = argv.iter().map(|a| a.clone().into_vec()).collect();
    let code = UnixStream::connect(socket).and_then(|s| converse(s, input, &argv.join(&0)));
    let code = code.unwrap_or_else(|error| {
        eprintln!("vm: talk to the machine: {error}");
        GONE
    });
    ExitCode::from(u8::try_from(code & 255).expect("masked to eight bits"))
}

fn converse(mut socket: UnixStream, input: bool, argv: &[u8]) -> io::Result<i32> {
    let nonce = fs::read_to_string("/proc/sys/kernel/random/uuid")?
        .trim()
        .to_owned();
    // The newline ends what an earlier caller may have left.
    let request = format!(
        "\nrun {nonce} {} {} .\n",
        if input { "i" } else { "n" },
        hex(argv)
    );
    socket.write_all(request.as_bytes())?;
    let mut lines = BufReader::new(socket.try_clone()?);
    let (mut line, mut acknowledged) = (Vec::new(), false);
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Err(io::Error::other("it was switched off"));
        }
        match words(&line).as_deref() {
            Some(["hello"]) if acknowledged => return Err(io::Error::other("it was restarted")),
            Some(["hello"]) => socket.write_all(request.as_bytes())?,
            Some(["ack", n]) if *n == nonce => {
                acknowledged = true;
                if input {
                    forward_input(socket.try_clone()?, nonce.clone());
                }
            }
            Some(["out", n, data]) if *n == nonce => put(io::stdout(), data)?,
            Some(["err", n, data]) if *n == nonce => put(io::stderr(), data)?,
            Some(["end", n, code]) if *n == nonce => return Ok(code.parse().unwrap_or(GONE)),
            _ => {}
        }
    }
}

fn put(mut to: impl Write, data: &str) -> io::Result<()> {
    to.write_all(&unhex(data).ok_or(io::ErrorKind::InvalidData)?)?;
    to.flush()
}

fn forward_input(mut socket: UnixStream, nonce: String) {
    thread::spawn(move || -> io::Result<()> {
        let mut buffer = vec![0; 32768];
        loop {
            match io::stdin().read(&mut buffer)? {
                0 => return writeln!(socket, "eof {nonce} ."),
                length => writeln!(socket, "in {nonce} {} .", hex(&buffer[..length]))?,
            }
        }
    });
}
