//! `--register`: the list of systemd-machined.

use crate::harness::{Lab, Suite};
use crate::health::sh;

#[test]
fn a_container_that_wants_to_be_is_in_the_list_of_machines() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = sh(
        &lab,
        "listed() { machinectl list --no-legend | awk '{ print $1, $2, $3 }'; }
         leader() { machinectl show -P Leader web; }
         up quiet; up web --register --restart always; listed
         [ $(leader) = $(unitbox inspect -f '{{.State.Pid}}' web) ] && machinectl show -P Unit web
         [ $(machinectl show -P Id web) = $(unitbox inspect -f '{{.Id}}' web | head -c 32) ]; echo id $?
         before=$(leader); kill -9 $before; until_is 1-running \"unitbox inspect -f '{{.RestartCount}}-{{.State.Status}}' web\"
         until_is $(unitbox inspect -f '{{.State.Pid}}' web) leader; [ $(leader) != $before ]; echo other $?
         machinectl terminate web; until_is inactive 'systemctl show -P ActiveState unitbox-web'
         until_is '' listed; unitbox ps -a --format '{{.Names}} {{.State}} {{.ExitCode}}' --filter name=web
         # What cannot be in it runs all the same.
         up no_host --register; listed; unitbox ps -q --filter name=no_host | wc -l
         journalctl --sync; journalctl -u unitbox-no_host -o cat | grep -c 'with systemd-machined'
         systemctl stop systemd-machined; systemctl mask --runtime systemd-machined; up later --register; unitbox ps -q | wc -l
         systemctl --failed --no-legend | wc -l",
    );
    let expected =
        "web container unitbox\nunitbox-web.service\nid 0\nother 0\nweb exited 0\n1\n1\n3\n0";
    assert_eq!(seen, expected);
}
