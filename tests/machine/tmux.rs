//! `run -it`, `exec -it` and `attach` as a user has them: in a terminal emulator.

use std::time::{Duration, Instant};

use crate::harness::{Lab, Suite, Tmux};
use crate::run::ROOTFS;

/// Types a line at the prompt of busybox's shell. At each prompt it asks the terminal where the cursor is, and forgets
/// what was typed together with the answer: then the line is typed again.
fn say(user: &Tmux, line: &str) {
    at_prompt(user);
    for _ in 0..10 {
        user.text(line);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(2) {
            if user.screen().trim_end().ends_with(&format!("# {line}")) {
                return user.keys(&["Enter"]);
            }
        }
        user.keys(&["C-u"]);
    }
    panic!("{line:?} cannot be typed:\n{}", user.screen());
}

fn clear(user: &Tmux) {
    say(user, "clear");
    user.until("an empty screen", |screen| {
        let screen = screen.trim();
        screen.ends_with('#') && screen.lines().count() == 1
    });
}

fn at_prompt(user: &Tmux) {
    user.until("a prompt of busybox", |screen| {
        screen.trim_end().ends_with('#')
    });
}

/// A shell in a container has the whole terminal: echo, its size, its keys, and what runs in it.
fn use_shell(lab: &Lab, user: &Tmux) {
    clear(user);
    say(user, "stty size; echo one-$((40 + 2))");
    user.expect("33 101");
    user.expect("one-42");
    // What is typed is shown once, as the terminal's line discipline does; a rubbed-out letter is not.
    at_prompt(user);
    std::thread::sleep(Duration::from_millis(300));
    user.text("echo edix");
    user.keys(&["BSpace"]);
    user.text("ted");
    user.until("the line as edited", |screen| {
        screen.contains("# echo edited")
    });
    user.keys(&["Enter"]);
    user.expect("edited");
    assert_eq!(
        user.screen().matches("edited").count(),
        2,
        "{}",
        user.screen()
    );
    // A window of another size: who runs in it hears of it at once.
    let script = "trap 'stty size' WINCH; echo armed-$((1 + 1)); while :; do sleep 0.1; done";
    say(user, &format!("({script})"));
    user.expect("armed-2");
    user.resize(40, 120);
    user.expect("40 120");
    user.keys(&["C-c"]);
    // Ctrl-C is for what runs, not for the shell and not for the client.
    say(user, "sleep 1000");
    // Not one of those before, which a shell that is PID 1 has not waited for yet.
    lab.sh("until pgrep -fx 'sleep 1000'; do sleep 0.05; done")
        .ok();
    user.keys(&["C-c"]);
    say(user, "echo interrupted-$?");
    user.expect("interrupted-130");
    lab.sh("! pgrep -fx 'sleep 1000'").ok();
    full_screen(user);
}

/// A program that draws: its last row is the window's.
fn full_screen(user: &Tmux) {
    clear(user);
    say(user, "echo hello >/tmp/drawn; vi /tmp/drawn");
    user.until("vi", |screen| {
        let lines: Vec<&str> = screen.lines().collect();
        let empty = lines.iter().filter(|line| line.trim() == "~").count();
        empty == 38 && lines.last().is_some_and(|last| last.contains("/tmp/drawn"))
    });
    // Without the escape key: what follows it at once would make another key of it.
    user.text("x");
    user.until("ello", |screen| screen.starts_with("ello"));
    user.resize(33, 101);
    user.line(":wq");
    at_prompt(user);
    clear(user);
    say(user, "cat /tmp/drawn");
    user.expect("ello");
    clear(user);
}

/// The user's own shell echoes and edits again.
fn is_given_back(user: &Tmux, code: u8) {
    // What is typed before is the client's.
    user.until("the user's prompt", |screen| {
        screen.trim_end().ends_with('$')
    });
    user.line("echo code=$?");
    user.expect(&format!("code={code}"));
    user.line("stty -a | grep -c -e ' echo ' -e ' icanon'; echo $((3 + 4))");
    user.expect("7");
    user.until("echo and lines", |screen| {
        screen.lines().any(|line| ["1", "2"].contains(&line.trim()))
    });
    user.clear();
}

#[test]
fn a_user_works_in_a_container() {
    let lab = Lab::boot(Suite::Trixie);
    let user = lab.tmux(33, 101);
    user.line(&format!("unitbox run -it --rm {ROOTFS} sh"));
    use_shell(&lab, &user);
    say(&user, "exit 0");
    is_given_back(&user, 0);
    lab.sh(&format!("unitbox run -d --name c {ROOTFS} stamp run"))
        .ok();
    user.line("unitbox exec -it c sh");
    use_shell(&lab, &user);
    say(&user, "exit 6");
    is_given_back(&user, 6);
    lab.sh("[ \"$(unitbox inspect -f '{{len .ExecIDs}}' c)\" = 0 ] && unitbox rm -f -t 0 c")
        .ok();
    assert_eq!(lab.sh("unitbox ps -aq").ok(), "");
}

#[test]
fn a_user_leaves_and_comes_back() {
    let lab = Lab::boot(Suite::Trixie);
    let (user, other) = (lab.tmux(33, 101), lab.tmux(20, 70));
    user.line(&format!("unitbox run -it --name c {ROOTFS} sh"));
    user.until("a prompt", |screen| screen.trim_end().ends_with('#'));
    say(&user, "x=kept");
    at_prompt(&user);
    user.keys(&["C-p", "C-q"]);
    is_given_back(&user, 0);
    assert_eq!(
        lab.sh("unitbox inspect -f '{{.State.Status}}' c").ok(),
        "running"
    );
    user.line("unitbox attach c");
    user.keys(&["Enter"]);
    user.until("a prompt", |screen| screen.trim_end().ends_with('#'));
    say(&user, "echo is-$x");
    user.expect("is-kept");
    use_shell(&lab, &user);
    // Whoever comes last gives it its size, and both see all.
    other.line("unitbox attach --detach-keys ctrl-x,x c");
    other.keys(&["Enter"]);
    other.until("a prompt", |screen| screen.trim_end().ends_with('#'));
    say(&user, "stty size; echo both-$((1 + 1))");
    other.expect("20 70");
    other.expect("both-2");
    user.expect("both-2");
    other.keys(&["C-x", "x"]);
    is_given_back(&other, 0);
    // A payload that is stopped from outside gives the terminal back too.
    lab.sh("unitbox kill c").ok();
    is_given_back(&user, 137);
    lab.sh("unitbox rm c").ok();
}

#[test]
fn nothing_that_is_pasted_or_shown_is_lost() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!("unitbox run -d -it --name c {ROOTFS} sh"))
        .ok();
    for (enter, leave) in [
        ("unitbox exec -it c sh", &["C-d"][..]),
        ("unitbox attach c", &["C-p", "C-q"][..]),
    ] {
        let user = lab.tmux(33, 101);
        user.line(enter);
        user.keys(&["Enter"]);
        user.until("a prompt", |screen| screen.trim_end().ends_with('#'));
        clear(&user);
        let pasted: String = (0..4000)
            .map(|n| format!("line {n} of what is pasted\n"))
            .collect();
        say(
            &user,
            "stty raw -echo; echo taking; head -c 110890 | md5sum; stty sane",
        );
        assert_eq!(pasted.len(), 110_890);
        user.expect("taking");
        user.paste(&pasted);
        let sum = lab.sh_with_input("md5sum", pasted.as_bytes()).ok();
        user.until("the sum of all bytes", |screen| screen.contains(&sum));
        clear(&user);
        say(&user, "seq 30000; echo shown");
        user.expect("shown");
        let history = user.history();
        let mut next = 1;
        for line in history.lines() {
            if line.trim() == next.to_string() {
                next += 1;
            }
        }
        assert_eq!(next, 30_001, "{enter}");
        user.keys(leave);
        is_given_back(&user, 0);
    }
    lab.sh("unitbox rm -f -t 0 c").ok();
}
