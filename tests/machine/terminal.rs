//! `--tty` and `attach`, at a real terminal.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// Podman's detach keys, as bytes.
pub(crate) const DETACH: &[u8] = &[16, 17];

/// Says whether the terminal is as it was, whatever happens in between.
pub(crate) fn guarded(command: &str) -> String {
    format!(
        "before=$(stty -g); {command}; echo code=$?; [ \"$before\" = \"$(stty -g)\" ] && echo restored"
    )
}

#[test]
fn a_shell_sees_a_terminal_and_so_does_its_user() {
    let lab = Lab::boot(Suite::Trixie);
    for runtime in ["runc", "crun"] {
        let run = format!("unitbox run -it --rm --runtime {runtime} {ROOTFS} sh");
        let mut user = lab.terminal(&guarded(&format!("stty rows 33 cols 101; {run}")));
        user.expect("# ");
        user.send("stty size; echo TERM=$TERM; tty; test -c /dev/console && echo has-console\r");
        for wanted in [
            "33 101\r\n",
            "TERM=xterm\r\n",
            "/dev/pts/0\r\n",
            "\nhas-console",
        ] {
            user.expect(wanted);
        }
        user.resize(50, 132);
        user.send("sleep 0.3; stty size\r");
        user.expect("50 132\r\n");
        // The terminal's own keys are the payload's.
        user.send("sleep 1000\r");
        lab.sh("until pgrep -x sleep; do sleep 0.05; done").ok();
        user.send("\x03");
        user.send("echo code$((40 + 2))\r");
        user.expect("code42\r\n");
        user.send("exit 7\r");
        user.expect("code=7");
        user.expect("restored");
        assert_eq!(user.end(), Some(0), "{runtime}");
    }
    assert_eq!(
        lab.sh("unitbox ps -aq; ls /run/unitbox/*/tty.sock 2>/dev/null")
            .out(),
        ""
    );
}

#[test]
fn a_user_detaches_and_comes_back_and_others_look_on() {
    let lab = Lab::boot(Suite::Trixie);
    let mut first = lab.terminal(&guarded(&format!("unitbox run -it --name d {ROOTFS} sh")));
    first.expect("# ");
    first.send("x=kept\r");
    first.send(DETACH);
    first.expect("code=0");
    first.expect("restored");
    first.end();
    assert_eq!(lab.sh("systemctl is-active unitbox-d").ok(), "active");
    let mut second = lab.terminal(&guarded("stty rows 40 cols 90; unitbox attach --latest"));
    // Nothing is shown until something is written: a key that does not detach arrives with the next.
    second.send("\x10");
    second.send("\recho is-$x; stty size\r");
    second.expect("is-kept\r\n");
    second.expect("40 90\r\n");
    let mut other = lab.terminal(&guarded("unitbox attach --no-stdin d"));
    let mut keys = lab.terminal(&guarded("unitbox attach --detach-keys ctrl-a,x d"));
    lab.sh("for i in $(seq 100); do [ $(ls -l /proc/$(systemctl show -P MainPID unitbox-d)/fd | grep -c pipe:) -ge 5 ] && exit 0; sleep 0.05; done; exit 1").ok();
    second.send("echo seen-by-$((1 + 2))\r");
    for user in [&second, &other, &keys] {
        // One without input is not raw: its own terminal makes another carriage return.
        user.expect("seen-by-3\r");
    }
    keys.send(DETACH);
    keys.send("\x01x");
    keys.expect("code=0");
    keys.expect("restored");
    keys.end();
    // A client that is killed takes nothing with it.
    lab.sh("pkill -KILL -f '^unitbox attach --no-stdin' && systemctl is-active unitbox-d")
        .ok();
    other.end();
    // What the other has typed besides was a key of the shell: the line that it brought back goes first.
    second.send("\x15exit 5\r");
    second.expect("code=5");
    second.expect("restored");
    second.end();
    assert_eq!(lab.sh("unitbox wait d").ok(), "5");
    lab.sh("journalctl --sync; unitbox logs d | grep -q '^seen-by-3'")
        .ok();
    lab.sh("unitbox attach d").fails(125);
    lab.sh("unitbox attach nobody").fails(125);
    lab.sh("unitbox attach --detach-keys ctrl-1 d").fails(125);
    lab.sh(&format!(
        "unitbox run --rm -t --detach-keys zz {ROOTFS} true"
    ))
    .fails(125);
    lab.sh("unitbox rm d").ok();
}

#[test]
fn nothing_is_lost_at_the_end_of_a_terminal() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("head -c 3000000 /dev/urandom | base64 >/usr/share/unitbox-lab/busybox/big")
        .ok();
    for runtime in ["runc", "crun"] {
        let run = format!("unitbox run -t --rm --runtime {runtime} {ROOTFS} cat /big");
        lab.sh(&format!(
            "{run} | tr -d '\\r' | cmp - /usr/share/unitbox-lab/busybox/big"
        ))
        .ok();
    }
    // A reader that comes late, and a log that nobody reads along with.
    lab.sh(&format!(
        "unitbox run -t --rm {ROOTFS} cat /big | (sleep 1; cat) | tr -d '\\r' | cmp - /usr/share/unitbox-lab/busybox/big"
    ))
    .ok();
    lab.sh(&format!(
        "unitbox run -d -t --name log --log-driver k8s-file {ROOTFS} cat /big; unitbox wait log; \
         unitbox logs log | tr -d '\\r' | cmp - /usr/share/unitbox-lab/busybox/big"
    ))
    .ok();
    let short = format!(
        "for i in $(seq 20); do unitbox run -t --rm --runtime crun {ROOTFS} printf last; done"
    );
    assert_eq!(lab.sh(&short).ok(), "last".repeat(20));
    // Who closes its terminal and opens /dev/console later, as an init does, is still heard.
    lab.sh(&format!(
        "unitbox run -d -t --name later {ROOTFS} sh -c 'exec </dev/null >/dev/null 2>&1; sleep 0.5; echo back >/dev/console; sleep 0.2'
         unitbox wait later; journalctl --sync; unitbox logs later | grep -q '^back'"
    ))
    .ok();
}

#[test]
fn the_terminal_is_given_back_however_the_client_ends() {
    let lab = Lab::boot(Suite::Trixie);
    let run = format!("unitbox run -it --name k --sig-proxy=false {ROOTFS} sh");
    let mut user = lab.terminal(&guarded(&run));
    user.expect("# ");
    lab.sh("pkill -TERM -f '^unitbox run'").ok();
    user.expect("code=143");
    user.expect("restored");
    user.end();
    let mut user = lab.terminal(&guarded("unitbox attach k"));
    user.send("echo again-$((1 + 1))\r");
    user.expect("again-2");
    // With the proxy on, a signal is the payload's.
    user.send("trap 'exit 29' USR1; echo armed-$((1 + 1))\r");
    user.expect("armed-2");
    lab.sh("pkill -USR1 -f '^unitbox attach'").ok();
    user.expect("code=29");
    user.expect("restored");
    user.end();
    // A start that fails.
    let fail = format!("unitbox run -it --rm {ROOTFS} no-such-command");
    let mut user = lab.terminal(&guarded(&fail));
    user.expect("code=127");
    user.expect("restored");
    user.end();
    lab.sh("unitbox rm k").ok();
    lab.sh(&format!(
        "unitbox run -t --rm --log-driver passthrough {ROOTFS} true"
    ))
    .fails(125);
}

#[test]
fn streams_can_be_attached_to_without_a_terminal() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "unitbox run -d -i --name s --log-driver none {ROOTFS} \
         sh -c 'while read line; do echo out $line; echo err $line >&2; done; exit 6'"
    ))
    .ok();
    let run = lab.sh("printf 'one\\ntwo\\n' | unitbox attach s");
    run.fails(6);
    assert_eq!(run.out(), "out one\nout two");
    assert_eq!(run.err(), "err one\nerr two");
    lab.sh("unitbox rm s").ok();
    // A client that does not read holds the payload up for a while only; one that listens sees all.
    lab.sh(&format!(
        "unitbox run -d --name slow --log-driver none {ROOTFS} sh -c 'sleep 1; seq 1000000; echo done'"
    ))
    .ok();
    lab.sh(
        "(unitbox attach slow | sleep 60) >/dev/null 2>&1 & unitbox attach slow >/opt/all & all=$!; \
         timeout 30 unitbox wait slow && wait $all && tail -1 /opt/all | grep -x done && [ $(wc -l </opt/all) = 1000001 ]",
    )
    .ok();
    lab.sh("unitbox rm slow; pkill -x sleep; true").ok();
}

/// A generator of numbers that a seed repeats (xorshift).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

/// Whatever is typed, in whatever pieces, while the size changes: it comes back, and the size is the last one.
#[test]
fn random_keys_and_sizes_arrive() {
    let lab = Lab::boot(Suite::Trixie);
    for seed in [1, 20_261_124, 0xdead_beef] {
        let mut numbers = Numbers(seed);
        let run = format!(
            "unitbox run -it --rm --runtime crun {ROOTFS} sh -c 'stty raw -echo; echo ready; dd bs=1 count=20000 2>/dev/null; stty sane; stty size'"
        );
        let mut user = lab.terminal(&guarded(&run));
        user.expect("ready\n");
        user.clear();
        // Every byte but the second of the keys that detach.
        let typed: Vec<u8> = (0..20_000)
            .map(|_| numbers.next(256) as u8)
            .map(|byte| if byte == 17 { 16 } else { byte })
            .collect();
        let mut rest = &typed[..];
        let mut size = (24, 80);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(1 + numbers.next(700)));
            user.send(piece);
            rest = after;
            if numbers.next(3) == 0 {
                size = (5 + numbers.next(90) as u16, 5 + numbers.next(300) as u16);
                user.resize(size.0, size.1);
            }
            let sent = typed.len() - rest.len();
            // No more on its way than a terminal holds; a key that may detach is held back.
            user.until("echo", |seen| seen.len() + 2000 >= sent);
        }
        user.until("echo", |seen| seen.len() >= typed.len());
        assert!(user.bytes().starts_with(&typed), "seed {seed}");
        user.expect(&format!("{} {}\r\n", size.0, size.1));
        user.expect("restored");
        user.end();
    }
}
