//! Terminals at random: bytes of every kind in pieces of every size, while the window changes, users detach and come back,
//! and clients are killed. What the payload reads is what was typed, each byte once; what a user sees is that too; the
//! terminal is given back; and nothing waits for ever, as everything here has a time within which it must happen.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Lab, Suite, Terminal};
use crate::run::ROOTFS;
use crate::terminal::{DETACH, Numbers, guarded};

/// Where the payload's root is on the machine.
const ROOT: &str = "/usr/share/unitbox-lab/busybox";
const PATIENCE: Duration = Duration::from_secs(30);

/// How a client goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Leave {
    /// By the keys, once everything has come back.
    Slowly,
    /// By the keys, at once behind what was typed.
    AtOnce,
    /// By SIGKILL: what it had not read yet is lost with it, and its terminal stays as it is.
    Killed,
    /// By SIGTERM, which is not the payload's, but is for what was executed.
    Ended,
}

const WAYS: [Leave; 4] = [Leave::Slowly, Leave::AtOnce, Leave::Killed, Leave::Ended];

/// What one user types.
fn keys(numbers: &mut Numbers) -> Vec<u8> {
    let mut typed: Vec<u8> = Vec::new();
    for _ in 0..1 + numbers.next(6000) {
        let byte = numbers.next(256) as u8;
        // The keys that detach have a place of their own.
        let detaches = byte == DETACH[1] && typed.last() == Some(&DETACH[0]);
        typed.push(if detaches { b'!' } else { byte });
    }
    // What may be the first of these keys is held back until the next comes.
    typed.push(b'.');
    typed
}

/// Types all of it, in pieces, with no more on its way than a terminal holds; the window's last size.
fn type_all(user: &Terminal, numbers: &mut Numbers, typed: &[u8]) -> Option<(u16, u16)> {
    let mut rest = typed;
    let mut size = None;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(1 + numbers.next(900)));
        user.send(piece);
        rest = after;
        if numbers.next(4) == 0 {
            let new = (5 + numbers.next(90) as u16, 5 + numbers.next(300) as u16);
            user.resize(new.0, new.1);
            size = Some(new);
        }
        let sent = typed.len() - rest.len();
        user.until("echo", |seen| seen.len() + 2000 >= sent);
    }
    size
}

/// What the payload has read, once there is as much of it, or, without a number, once there comes no more.
fn read(lab: &Lab, file: &str, wanted: Option<usize>) -> Vec<u8> {
    let begin = Instant::now();
    let mut before = None;
    loop {
        let found = lab.sh(&format!("cat {ROOT}/tmp/{file}")).stdout;
        let enough = match wanted {
            Some(wanted) => found.len() >= wanted,
            None => before.as_ref() == Some(&found),
        };
        if enough || begin.elapsed() > PATIENCE {
            return found;
        }
        before = Some(found);
        thread::sleep(Duration::from_millis(300));
    }
}

/// One user: types, leaves, and what is left of it is looked at. `before` is what the payload has read already.
fn visit(
    lab: &Lab,
    enter: &str,
    file: &str,
    leave: Leave,
    numbers: &mut Numbers,
    before: &[u8],
) -> Vec<u8> {
    let mut user = lab.terminal(&guarded(enter));
    if enter.contains("tee") {
        user.expect("ready\n");
    }
    user.until_raw();
    user.clear();
    let typed = keys(numbers);
    let what = format!("{enter}, {leave:?}, {} bytes", typed.len());
    let size = type_all(&user, numbers, &typed);
    if leave == Leave::Slowly {
        user.until("all of it", |seen| seen.len() >= typed.len());
        assert!(user.bytes() == typed, "{what}: another echo");
        if let (Some((rows, columns)), false) = (size, enter.contains("exec")) {
            let look = "unitbox exec f sh -c 'stty size </dev/console'";
            assert_eq!(lab.sh(look).ok(), format!("{rows} {columns}"), "{what}");
        }
    }
    match leave {
        Leave::Slowly | Leave::AtOnce => user.send(DETACH),
        Leave::Killed | Leave::Ended => {
            let signal = if leave == Leave::Killed {
                "KILL"
            } else {
                "TERM"
            };
            lab.sh(&format!("pkill -{signal} -f '^unitbox (run|attach|exec) '"))
                .ok();
        }
    }
    let code = match leave {
        Leave::Slowly | Leave::AtOnce => "code=0",
        Leave::Killed => "code=137",
        Leave::Ended => "code=143",
    };
    user.expect(code);
    if leave != Leave::Killed {
        user.expect("restored");
    }
    user.end();
    let shown = user.bytes();
    let said = |word: &[u8]| shown.windows(word.len()).rposition(|part| part == word);
    // The shell says of a client that a signal has ended it.
    let words = ["bash: line ", "Terminated\r\n", "code="];
    let end = words.iter().find_map(|word| said(word.as_bytes()));
    let shown = &shown[..end.expect("it was waited for")];
    let same = typed
        .iter()
        .zip(shown)
        .take_while(|(one, other)| one == other);
    let same = same.count();
    assert!(
        same == shown.len(),
        "{what}: byte {same} and what follows of {} shown is another: {:?}",
        shown.len(),
        String::from_utf8_lossy(&shown[same..shown.len().min(same + 200)])
    );
    let by_keys = matches!(leave, Leave::Slowly | Leave::AtOnce);
    let all = [before, &typed].concat();
    let read = read(lab, file, by_keys.then_some(all.len()));
    assert!(
        if by_keys {
            read == all
        } else {
            all.starts_with(&read) && read.len() >= before.len() + shown.len()
        },
        "{what}: the payload has read {} bytes of {}, and not these",
        read.len(),
        all.len()
    );
    read
}

fn play(lab: &Lab, seed: u64) {
    let numbers = &mut Numbers(seed);
    let taken = |file: &str| format!("sh -c 'stty raw -echo; echo ready; exec tee /tmp/{file}'");
    let runtime = ["crun", "runc"][numbers.next(2)];
    let run = format!(
        "unitbox run -it --name f --sig-proxy=false --runtime {runtime} --log-driver none {ROOTFS} {}",
        taken("main")
    );
    let mut read = visit(lab, &run, "main", WAYS[numbers.next(4)], numbers, &[]);
    let from = numbers.next(4);
    for way in 0..4 {
        let leave = WAYS[(from + way) % 4];
        let attach = "unitbox attach --sig-proxy=false f";
        read = visit(lab, attach, "main", leave, numbers, &read);
        let file = format!("exec{way}");
        let exec = format!("unitbox exec -it f {}", taken(&file));
        visit(lab, &exec, &file, leave, numbers, &[]);
        if matches!(leave, Leave::Slowly | Leave::AtOnce) {
            // Who leaves by the keys leaves it running.
            lab.sh(&format!("pgrep -fx 'tee /tmp/{file}'")).ok();
        }
    }
    let mut last = lab.terminal(&guarded("unitbox attach f"));
    last.until_raw();
    assert_eq!(
        lab.sh("unitbox inspect -f '{{.State.Status}}' f").ok(),
        "running"
    );
    lab.sh("unitbox rm -f -t 0 f").ok();
    last.expect("code=137");
    last.expect("restored");
    last.end();
    assert_eq!(
        lab.sh("unitbox ps -aq; pgrep -x unitbox").out(),
        "",
        "seed {seed}"
    );
}

#[test]
fn terminals_at_random_lose_and_double_nothing() {
    let all = std::env::var_os("UNITBOX_TEST_ALL").is_some();
    let lab = Lab::boot(Suite::Trixie);
    for seed in 1..=if all { 20 } else { 1 } {
        println!("seed {seed}");
        play(&lab, u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
    }
}
