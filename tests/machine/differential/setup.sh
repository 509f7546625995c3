# Two images, host files, secrets and containers to join: the same for both engines.
set -eu
base=/opt/diff
mkdir -p $base/{host/sub,cases,out/specs,oci} && cd $base
echo one >host/one && echo two >host/sub/two && chown 1000:1000 host/sub && chmod 0751 host/sub && ln -s sub host/link
mkdir -p cache && printf '127.0.0.9 of-a-file\n' >hosts
printf 'FILE_A=1\n# a comment\nFILE_B=two words\nPATH\n' >env.list
printf 'one=1\ntwo=a b\n' >label.list
echo 'a secret' >secret
cat >runc <<'SPY'
#!/bin/bash
# A runtime that keeps the config.json of what it creates.
before='' verb='' bundle=.
for word; do
    [[ $before != --bundle && $before != -b ]] || bundle=$word
    [[ $word != --bundle=* ]] || bundle=${word#*=}
    [[ $word != create && $word != run ]] || verb=create
    before=$word
done
if [[ $verb ]]; then
    cp "$bundle/config.json" "/opt/diff/out/specs/${*: -1}.json"
    engine=podman
    [[ $(realpath "$bundle") != */unitbox/* ]] || engine=unitbox
    echo "${*: -1}" >/opt/diff/out/last.$engine
fi
exec /usr/bin/runc "$@"
SPY
printf '#!/bin/busybox sh\n[ "$1" != -- ] || shift\nexec "$@"\n' >init
printf '#!/bin/busybox sh\nexec "$@"\n' >entry
chmod +x runc init entry view
mkdir -p /usr/libexec/podman && cp init /usr/libexec/podman/catatonit

image() { # NAME CONFIG TREE
    local oci=oci/$1 layer diff size config manifest
    mkdir -p "$oci/blobs/sha256"
    tar --numeric-owner -C "$3" -cf layer .
    diff=$(sha256sum layer | cut -c 1-64)
    size=$(stat -c %s layer)
    mv layer "$oci/blobs/sha256/$diff"
    jq -nc --arg d "sha256:$diff" --argjson c "$2" '{architecture: "amd64", os: "linux", created: "2023-11-14T22:13:20Z",
        config: $c, rootfs: {type: "layers", diff_ids: [$d]}, history: [{created: "2023-11-14T22:13:20Z"}]}' >c
    config=$(sha256sum c | cut -c 1-64)
    jq -nc --arg c "sha256:$config" --argjson cs "$(stat -c %s c)" --arg l "sha256:$diff" --argjson ls "$size" '
        {schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $c, size: $cs},
        layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar", digest: $l, size: $ls}]}' >m
    manifest=$(sha256sum m | cut -c 1-64)
    printf '{"imageLayoutVersion":"1.0.0"}' >"$oci/oci-layout"
    jq -nc --arg m "sha256:$manifest" --argjson s "$(stat -c %s m)" --arg n "localhost/$1:latest" '
        {schemaVersion: 2, manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $m, size: $s,
        annotations: {"org.opencontainers.image.ref.name": $n}}]}' >"$oci/index.json"
    mv c "$oci/blobs/sha256/$config" && mv m "$oci/blobs/sha256/$manifest"
    tar -C "$oci" -cf "$1.tar" .
    podman load -q -i "$1.tar" >/dev/null
    unitbox load -i "$1.tar" >/dev/null
}

cp -a /usr/share/unitbox-lab/busybox tree
cp view tree/view
image plain '{"Cmd": ["/view"], "Env": ["PATH=/bin:/usr/bin"]}' tree
cp entry tree/entry
mkdir -p tree/{vol,vol2,srv/app,etc/skel}
echo kept >tree/vol/file && chown -R 1000:1000 tree/vol && chmod 0750 tree/vol
echo 'app:x:1000:1000:App:/srv/app:/bin/sh
pg:x:999:999::/var/lib/pg:/bin/sh
lost:x:1500:77::/nowhere:/bin/sh' >>tree/etc/passwd
echo 'app:x:1000:
audio:x:63:app,pg
pg:x:999:
wheel:x:10:root,app' >>tree/etc/group
chown 1000:1000 tree/srv/app
image rich '{"Entrypoint": ["/entry"], "Cmd": ["/view", "from-image"], "User": "app", "WorkingDir": "/srv/app/work",
    "Env": ["PATH=/bin:/usr/bin", "LANG=C.UTF-8", "APP=1"], "Volumes": {"/vol": {}, "/vol2": {}},
    "Labels": {"org.example.who": "image"}, "StopSignal": "SIGQUIT", "ExposedPorts": {"80/tcp": {}}}' tree

both() {
    podman "$@" >/dev/null
    # What this version does not know cannot be compared.
    unitbox "$@" >/dev/null || echo "unitbox $*: failed"
}
both secret create s1 secret
both run -d --name target --network none --ipc shareable localhost/plain sleep 100000
both run -d --name mapped --network none --uidmap 0:300000:65536 localhost/plain sleep 100000
both create --name source -v given:/data -v $base/host:/mnt:ro localhost/rich
for engine in podman unitbox; do
    case $engine in
        podman) pid=$(podman inspect -f '{{.State.Pid}}' target) ;;
        *) pid=$(head -n 1 /sys/fs/cgroup/system.slice/unitbox-target.service/payload/cgroup.procs 2>/dev/null) ;;
    esac
    for n in cgroup ipc mnt net pid time user uts; do
        echo "host $(readlink /proc/self/ns/$n)"
        [ ! "$pid" ] || echo "target $(readlink /proc/$pid/ns/$n)"
    done >out/$engine.namespaces
done
