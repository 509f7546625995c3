//! What Go's text/template prints, and what it says of mistakes; each line was compared with Podman 5.4.

use std::collections::BTreeMap;

use super::{Template, Value};

fn data() -> Value {
    let labels: BTreeMap<String, String> = [("a", "1"), ("b.c", "x y")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let state = Value::fields(
        "*define.InspectContainerState",
        vec![
            ("Status", "running".into()),
            ("Running", true.into()),
            ("ExitCode", 0.into()),
            ("Health", Value::Null),
        ],
    );
    Value::fields(
        "containers.psReporter",
        vec![
            ("Id", "abcdef".into()),
            ("Name", "web".into()),
            ("Pid", 42.into()),
            ("Size", Value::Float(1.5)),
            ("State", state),
            ("Args", Value::list(["sh", "-c", "exit 7"])),
            ("None", Value::List(Vec::new())),
            ("Labels", Value::map(&labels)),
            ("Label", Value::Lookup(labels)),
            ("Created", Value::Time(1_000_000_500_000)),
        ],
    )
}

fn filled(text: &str) -> String {
    let done = Template::parse("t", text).and_then(|template| template.render(&data()));
    done.unwrap_or_else(|error| error.to_string())
}

#[test]
fn what_go_prints() {
    let cases = [
        ("plain", "plain"),
        ("{{.Name}}-{{.ID}}-{{.Id}}", "web-abcdef-abcdef"),
        ("{{.State.Status}} {{.State.Running}}", "running true"),
        ("a {{- .Pid -}}\n b", "a42b"),
        ("a{{/* no */}}b {{- /* no */ -}} c", "abc"),
        ("{{.State}}", "{running true 0 <nil>}"),
        ("{{.Args}} {{.Labels}}", "[sh -c exit 7] map[a:1 b.c:x y]"),
        ("{{len .Args}} {{.Args | len}} {{len .Name}}", "3 3 3"),
        (
            "{{index .Args 2}} {{index .Labels \"b.c\"}} <{{index .Labels \"no\"}}>",
            "exit 7 x y <>",
        ),
        ("{{.Labels.a}} {{.Labels.no}}", "1 <no value>"),
        ("{{.Label \"a\"}}{{.Label \"no\"}}", "1"),
        (
            "{{if .Args}}yes{{else}}no{{end}} {{if .None}}yes{{else}}no{{end}}",
            "yes no",
        ),
        (
            "{{if eq .Pid 1}}one{{else if eq .Pid 42}}two{{else}}three{{end}}",
            "two",
        ),
        ("{{range .Args}}<{{.}}>{{end}}", "<sh><-c><exit 7>"),
        (
            "{{range $i, $a := .Args}}{{$i}}={{$a}} {{end}}",
            "0=sh 1=-c 2=exit 7 ",
        ),
        (
            "{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}",
            "a=1;b.c=x y;",
        ),
        ("{{range .None}}x{{else}}empty{{end}}", "empty"),
        (
            "{{range .Args}}{{if eq . \"-c\"}}{{continue}}{{end}}{{.}},{{end}}",
            "sh,exit 7,",
        ),
        (
            "{{range .Args}}{{if eq . \"-c\"}}{{break}}{{end}}{{.}},{{end}}",
            "sh,",
        ),
        (
            "{{with .State}}{{.Status}} {{$.Name}}{{end}}",
            "running web",
        ),
        ("{{with .State.Health}}x{{else}}none{{end}}", "none"),
        ("{{$x := .Name}}{{$x}}{{$x = \"y\"}}{{$x}}", "weby"),
        (
            "{{and .Name .Pid}} {{or .None .Name}} {{not .Name}}",
            "42 web false",
        ),
        (
            "{{eq .Pid 1 42}} {{ne .Name \"web\"}} {{lt 1 2}} {{ge 1 2}}",
            "true false true false",
        ),
        (
            "{{json .Args}} {{json .Labels}} {{json .State.Health}}",
            "[\"sh\",\"-c\",\"exit 7\"] {\"a\":\"1\",\"b.c\":\"x y\"} null",
        ),
        (
            "{{json .State}}",
            "{\"Status\":\"running\",\"Running\":true,\"ExitCode\":0,\"Health\":null}",
        ),
        (
            "{{join .Args \",\"}} {{upper .Name}} {{lower \"AB\"}} {{title .Name}}",
            "sh,-c,exit 7 WEB ab Web",
        ),
        (
            "{{split \"a:b\" \":\"}} {{index (split \"a:b\" \":\") 1}}",
            "[a b] b",
        ),
        ("{{.Name | printf \"%-5s|%5s|\" \"ab\"}}", "ab   |  web|"),
        (
            "{{printf \"%d %05d %x %t %q %v%% %.2f\" .Pid .Pid .Pid true .Name .Args .Size}}",
            "42 00042 2a true \"web\" [sh -c exit 7]% 1.50",
        ),
        ("{{printf \"%d %s\" .Name}}", "%!d(string=web) %!s(MISSING)"),
        (
            "{{print 1 2 \"a\" \"b\" 3}}|{{println .Name 1}}",
            "1 2ab3|web 1\n",
        ),
        (
            "{{(index .Args 0)}} {{(.State).Status}} {{slice .Name 1}}",
            "sh running eb",
        ),
        ("{{truncate .Name 2}}{{pad .Name 1 2}}|", "we web  |"),
        (
            "{{html \"<a>\"}}{{`raw\\n`}}{{'a'}}{{true}}{{0x10}}",
            "&lt;a&gt;raw\\n97true16",
        ),
        (
            "{{if and (eq .Name \"web\") (gt .Pid 5)}}both{{end}}",
            "both",
        ),
        (
            "{{.Created}} {{json .Created}}",
            "1970-01-12 13:46:40.5 +0000 UTC \"1970-01-12T13:46:40.5Z\"",
        ),
    ];
    for (text, want) in cases {
        assert_eq!(filled(text), want, "{text}");
    }
}

#[test]
fn what_go_says_of_mistakes() {
    let cases = [
        (
            "{{.Foo}}",
            "template: t:1:2: executing \"t\" at <.Foo>: can't evaluate field Foo in type containers.psReporter",
        ),
        (
            "a\nb{{.State.Foo}}",
            "template: t:2:9: executing \"t\" at <.State.Foo>: can't evaluate field Foo in type *define.InspectContainerState",
        ),
        (
            "{{.Name.Foo}}",
            "template: t:1:7: executing \"t\" at <.Name.Foo>: can't evaluate field Foo in type string",
        ),
        (
            "{{foo .Name}}",
            "template: t:1: function \"foo\" not defined",
        ),
        (
            "{{index .Args 9}}",
            "template: t:1:2: executing \"t\" at <index .Args 9>: error calling index: index out of range: 9",
        ),
        (
            "{{len}}",
            "template: t:1:2: executing \"t\" at <len>: wrong number of args for len: want 1 got 0",
        ),
        (
            "{{len .Pid}}",
            "template: t:1:2: executing \"t\" at <len .Pid>: error calling len: len of type int",
        ),
        (
            "{{eq .Name 1}}",
            "template: t:1:2: executing \"t\" at <eq .Name 1>: error calling eq: incompatible types for comparison",
        ),
        ("{{.Name", "template: t:1: unclosed action"),
        ("{{if .Name}}x", "template: t:1: unexpected EOF"),
        ("x{{end}}", "template: t:1: unexpected {{end}}"),
        ("{{if}}x{{end}}", "template: t:1: missing value for if"),
        ("{{}}", "template: t:1: missing value for command"),
        ("{{$x}}", "template: t:1: undefined variable \"$x\""),
        (
            "{{range .Pid}}{{end}}{{range .Name}}{{end}}",
            "template: t:1:29: executing \"t\" at <.Name>: range can't iterate over web",
        ),
        (
            "{{.Name 1}}",
            "template: t:1:2: executing \"t\" at <.Name>: Name has arguments but cannot be invoked as function",
        ),
        ("{{break}}", "template: t:1: {{break}} outside {{range}}"),
        ("{{\"a}}", "template: t:1: unterminated quoted string"),
        ("{{/* a", "template: t:1: unclosed comment"),
    ];
    for (text, want) in cases {
        assert_eq!(filled(text), want, "{text}");
    }
}

#[test]
fn a_format_gets_a_line_for_each_row() {
    let rows = Value::List(vec![data(), data()]);
    let filled = |format| {
        Template::of_rows("ps", format)
            .unwrap()
            .render(&rows)
            .unwrap()
    };
    assert_eq!(filled("{{.Name}}\\t{{.Pid}}"), "web\t42\nweb\t42\n");
    assert_eq!(filled("table {{.Name}} {{.Pid}}"), "web\t42\nweb\t42\n");
    assert_eq!(filled("{{range .}}{{.Name}} {{end}}"), "web web \n");
    let error = Template::of_rows("ps", "{{.Foo}}").unwrap().render(&rows);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("ps:1:13: executing")
    );
}

#[test]
fn no_text_makes_the_parser_panic() {
    let words = [
        "{{", "}}", "-", " ", "\"", "'", "(", ")", "|", ".A", "$", "range", "if", "end", "else",
        "ä", ":=", "/*", "*/", "9", "\\",
    ];
    let mut seed = 7u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..(seed % 9) + 1 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            text.push_str(words[(seed >> 33) as usize % words.len()]);
        }
        if let Ok(template) = Template::parse("t", &text) {
            let _ = template.render(&data());
        }
    }
}
