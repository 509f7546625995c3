# batch.sh CASE...: run cases with both engines. A case is a file of words, NUL-terminated: the flags, image and command.
cd /opt/diff
# Podman gives itself this TMPDIR, and with --env-host the container.
export GIVEN=from-the-host TMPDIR=/var/tmp
one() {
    local engine=$1 case=$2 words=() code=0 runtime=()
    mapfile -d '' -t words <"cases/$case"
    rm -f "out/$case.$engine.id" "out/last.$engine"
    case $engine in
        podman) runtime=(podman --runtime /opt/diff/runc run) ;;
        unitbox) runtime=(unitbox run --runtime /opt/diff/runc) ;;
    esac
    timeout 60 "${runtime[@]}" --cidfile "out/$case.$engine.id" --name "c$case" "${words[@]}" \
        </dev/null >"out/$case.$engine.out" 2>"out/$case.$engine.err" || code=$?
    echo "$code" >"out/$case.$engine.code"
    # The file that --cidfile asked for goes with the container.
    [ ! -e "out/last.$engine" ] || mv "out/last.$engine" "out/$case.$engine.id"
}
# One after the other, as both mount the same directory: what a runtime made in it for mounts is removed each time.
for engine in podman unitbox; do
    for case; do
        one $engine "$case"
        find host -mindepth 1 ! -path host/one ! -path host/link ! -path host/sub ! -path host/sub/two -delete
    done
done
true
