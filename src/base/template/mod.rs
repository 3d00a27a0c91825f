//! Go templates for `--format`: the part of text/template that people use with docker and podman, over JSON values.
//!
//! There are fields and their chains, pipes, `if`, `else`, `range`, `with`, `break`, `continue`, variables, literals, comments, trim
//! markers, Go's own functions and docker's. There are no `define`, `template` and `block`, and of methods
//! only those that look a text up ([`method`]).
//! Errors read as docker's do, with line and column.
//!
//! ```text
//! text -> lex (tokens with places) -> parse (tree) -> eval (+ functions, printf, value) -> text
//! ```

mod eval;
mod functions;
mod lex;
mod parse;
mod printf;
mod value;

pub(crate) use functions::query_escape;
pub(crate) use value::{Kind, add_fields, mark_map, method, nil, sorted, with_fields};

use crate::base::{Error, Result};
use serde_json::Value;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    source: String,
    nodes: Vec<parse::Node>,
}

/// A mistake at a byte of the source. `at` is the expression during whose evaluation it came up; parsing has none.
#[derive(Debug)]
struct Fault {
    place: usize,
    at: Option<String>,
    text: String,
}

impl Fault {
    fn syntax(place: usize, text: impl Into<String>) -> Self {
        Self { place, at: None, text: text.into() }
    }

    /// Words the fault as Go does: the line, and for an evaluation the column and the expression.
    fn word(self, source: &str) -> Error {
        let before = source.get(..self.place).unwrap_or(source);
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |i| i + 1);
        let place = match &self.at {
            Some(at) => format!("{line}:{column}: executing \"\" at <{at}>"),
            None => line.to_string(),
        };
        Error::usage(format!("template parsing error: template: :{place}: {}", self.text))
    }
}

impl Template {
    /// Parses `source`.
    pub(crate) fn parse(source: &str) -> Result<Self> {
        let nodes = lex::lex(source).and_then(|tokens| parse::parse(source, tokens)).map_err(|f| f.word(source))?;
        Ok(Self { source: source.to_owned(), nodes })
    }

    /// The text that the template makes of `data`.
    pub(crate) fn render(&self, data: &Value) -> Result<String> {
        eval::run(&self.nodes, data, false).map_err(|f| f.word(&self.source))
    }

    /// The head line of a table: `data` maps each field to its title, and functions that would change a value don't.
    pub(crate) fn render_header(&self, data: &Value) -> Result<String> {
        eval::run(&self.nodes, data, true).map_err(|f| f.word(&self.source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    fn data() -> Value {
        json!({
            "Name": "web", "Id": "0123456789abcdef", "Size": 1234, "Ratio": 0.5, "On": true, "Off": false, "None": null,
            "List": ["b", "a"], "Empty": [], "Map": {"y": 2, "x": 1}, "Texts": {"a": "b"}, "State": {"Status": "running", "Pid": 7},
            "Mounts": [{"Type": "bind", "Source": "/a"}, {"Type": "tmpfs", "Source": ""}], "Nested": [[1, 2], [3]],
        })
    }

    fn render(template: &str) -> String {
        match Template::parse(template).and_then(|t| t.render(&data())) {
            Ok(text) => text,
            Err(e) => format!("ERROR {e}"),
        }
    }

    #[test]
    fn values_print_as_go_prints_them() {
        for (template, text) in [
            ("plain", "plain"),
            ("{{.Name}}", "web"),
            ("{{ .State.Status }}!", "running!"),
            ("{{.Size}} {{.Ratio}} {{.On}} {{.None}}", "1234 0.5 true <no value>"),
            ("{{.List}} {{.Map}} {{.Nested}} {{.Empty}}", "[b a] map[x:1 y:2] [[1 2] [3]] []"),
            ("{{json .List}} {{json .Map}} {{json .Name}}", r#"["b","a"] {"y":2,"x":1} "web""#),
            (r#"{{json "a<b>&"}}"#, r#""a<b>&""#),
            ("{{.Mounts}}", "[map[Source:/a Type:bind] map[Source: Type:tmpfs]]"),
            ("{{/* note */}}x{{- /* more */ -}} y", "xy"),
            ("a {{- .Name -}} b", "awebb"),
            ("{{`raw \\n`}}{{\"a\\tb\\u00e9\"}}{{'a'}}{{0x10}}{{-5}}{{1.5}}{{1e3}}", "raw \\na\tb\u{e9}9716-51.51000"),
            ("{{true}} {{(.State).Pid}} {{$}}", &format!("true 7 {}", render("{{.}}"))),
        ] {
            assert_eq!(render(template), text, "{template}");
        }
    }

    #[test]
    fn control() {
        for (template, text) in [
            ("{{if .On}}a{{else}}b{{end}}{{if .Off}}c{{else if .Empty}}d{{else}}e{{end}}", "ae"),
            ("{{range .List}}<{{.}}>{{end}}", "<b><a>"),
            ("{{range $i, $x := .List}}{{$i}}={{$x}} {{end}}", "0=b 1=a "),
            ("{{range $k, $v := .Map}}{{$k}}={{$v}} {{end}}", "x=1 y=2 "),
            ("{{range .Empty}}x{{else}}none{{end}}{{range .None}}x{{end}}", "none"),
            ("{{range .Mounts}}{{if eq .Type \"tmpfs\"}}{{continue}}{{end}}{{.Source}}{{break}}{{end}}", "/a"),
            ("{{with .State}}{{.Status}} {{$.Name}}{{end}}{{with .None}}x{{else}}none{{end}}", "running webnone"),
            ("{{$x := .Name}}{{if true}}{{$x = \"new\"}}{{$x := \"inner\"}}{{end}}{{$x}}", "new"),
            ("{{with $s := .State}}{{$s.Pid}}{{end}}", "7"),
            ("{{range 3}}{{.}}{{end}}", "012"),
        ] {
            assert_eq!(render(template), text, "{template}");
        }
    }

    #[test]
    fn functions() {
        for (template, text) in [
            ("{{upper .Name}} {{.Name | title}} {{lower \"ABC\"}}", "WEB Web abc"),
            ("{{join .List \",\"}} {{.List | len}}", "b,a 2"),
            ("{{truncate .Id 4}} {{split \"a:b\" \":\"}} {{index (split \"a:b\" \":\") 1}}", "0123 [a b] b"),
            ("[{{pad .Name 1 2}}] {{println .Name 1}}", "[ web  ] web 1\n"),
            ("{{len .None}} [{{index .None \"x\"}}]", "0 []"),
            ("[{{index .Texts \"no\"}}{{if index .Texts \"no\"}}yes{{end}}]", "[]"),
            (
                "{{index .Map \"x\"}} {{index .Nested 0 1}} {{(index .Mounts 0).Source}} {{index .Map \"no\"}}",
                "1 2 /a <no value>",
            ),
            ("{{len .Name}} {{len .List}} {{len .Map}} {{slice .Id 0 4}} {{slice .List 1}}", "3 2 2 0123 [a]"),
            (
                "{{eq .Name \"web\"}} {{ne .Size 1}} {{lt 1 2}} {{ge 2 2.0}} {{gt \"b\" \"a\"}} {{eq .Size 1 2 1234}}",
                "true true true true true true",
            ),
            ("{{and .On .Name}} {{or .Off \"x\"}} {{not .On}} {{and .Off (index .List 9)}}", "web x false false"),
            (
                "{{printf \"%s|%5d|%-5s|%05d|%q|%v|%t|%x|%.1f|%%\" .Name .Size .Name 42 .Name .List .On 255 .Ratio}}",
                "web| 1234|web  |00042|\"web\"|[b a]|true|ff|0.5|%",
            ),
            ("{{printf \"%d %s\" .Name}}", "%!d(string=web) %!s(MISSING)"),
            ("{{print 1 2 \"x\" \"y\"}} {{html \"<a>\"}} {{urlquery \"a b\"}}", "1 2xy &lt;a&gt; a+b"),
        ] {
            assert_eq!(render(template), text, "{template}");
        }
    }

    #[test]
    fn what_go_knows_of_types() {
        let mut labels = Map::from_iter([("a.b".to_owned(), "c".into())]);
        mark_map(&mut labels);
        let data = json!({
            "Labels": labels, "Map": nil(Kind::NilMap), "List": nil(Kind::NilList), "Pointer": nil(Kind::NilPointer),
        });
        let render = |template: &str| match Template::parse(template).and_then(|t| t.render(&data)) {
            Ok(text) => text,
            Err(e) => format!("ERROR {e}"),
        };
        for (template, text) in [
            ("{{.Map}} {{.List}} {{.Pointer}} {{.Labels}}", "map[] [] <nil> map[a.b:c]"),
            ("{{json .Map}} {{json .List}} {{json .Pointer}} {{json .Labels}}", r#"null null null {"a.b":"c"}"#),
            ("{{len .Map}}{{len .List}}{{len .Labels}}[{{join .List \",\"}}]", "001[]"),
            (
                "{{range .Map}}x{{end}}{{range .List}}x{{else}}none{{end}}{{range $k, $v := .Labels}}{{$k}}{{end}}",
                "nonea.b",
            ),
            ("{{if .Map}}x{{end}}{{if .List}}x{{end}}{{if .Pointer}}x{{end}}{{if .Labels}}yes{{end}}", "yes"),
            ("{{.Labels.no}} {{.Labels.no.further}} {{.Map.no}}", "<no value> <no value> <no value>"),
            ("[{{index .Labels \"no\"}}] {{index .Labels \"a.b\"}} [{{index .Map \"no\"}}]", "[] c []"),
            ("{{printf \"%v %v\" .List .Pointer}} {{or .List \"d\"}}", "[] <nil> d"),
            (
                "{{.Pointer.X}}",
                "ERROR template parsing error: template: :1:10: executing \"\" at <.Pointer.X>: nil pointer evaluating interface {}.X",
            ),
        ] {
            assert_eq!(render(template), text, "{template}");
        }
    }

    #[test]
    fn faults_read_as_dockers() {
        let bad = "ERROR template parsing error: template: :";
        for (template, text) in [
            ("{{.Foo}}", "1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\""),
            ("a\n{{ .State.Foo}}", "2:9: executing \"\" at <.State.Foo>: map has no entry for key \"Foo\""),
            ("{{.Name.Foo}}", "1:7: executing \"\" at <.Name.Foo>: can't evaluate field Foo in type string"),
            ("{{.None.Foo}}", "1:7: executing \"\" at <.None.Foo>: nil pointer evaluating interface {}.Foo"),
            ("{{index .List 5}}", "1:2: executing \"\" at <index .List 5>: error calling index: index out of range: 5"),
            ("{{range .Name}}{{end}}", "1:8: executing \"\" at <.Name>: range can't iterate over web"),
            ("{{.Name", "1: unclosed action"),
            ("{{if .On}}", "1: unexpected EOF"),
            ("{{end}}", "1: unexpected {{end}}"),
            ("{{else}}", "1: unexpected {{else}}"),
            ("{{}}", "1: missing value for command"),
            ("{{shiny .}}", "1: function \"shiny\" not defined"),
            ("{{$x}}", "1: undefined variable \"$x\""),
            ("{{.Name | }}", "1: missing value for command"),
            ("{{\"a}}", "1: unterminated quoted string"),
            ("{{(.Name}}", "1: unclosed left paren"),
            ("{{.Name)}}", "1: unexpected right paren"),
            ("{{break}}", "1: {{break}} outside {{range}}"),
            ("{{/* x }}", "1: unclosed comment"),
            ("{{template \"x\"}}", "1: {{template}} is not supported"),
            ("{{len 3}}", "1:2: executing \"\" at <len 3>: error calling len: len of type int"),
            ("{{len}}", "1:2: executing \"\" at <len>: wrong number of args for len: want 1 got 0"),
            (
                "{{eq .Name 1}}",
                "1:2: executing \"\" at <eq .Name 1>: error calling eq: incompatible types for comparison",
            ),
            ("{{.Name 1}}", "1:2: executing \"\" at <.Name>: Name is not a method but has arguments"),
        ] {
            assert_eq!(render(template), format!("{bad}{text}"), "{template}");
        }
    }

    #[test]
    fn nothing_typed_makes_it_panic() {
        let pieces = [
            "{{",
            "}}",
            ".",
            "a",
            "$",
            "|",
            "(",
            ")",
            "\"",
            "if",
            "range",
            "end",
            " ",
            "-",
            "/*",
            ",",
            ":=",
            "é",
            "printf \"%*d\" ",
            "9",
            "\\",
        ];
        let mut seed = 7u64;
        for _ in 0..4000 {
            let mut text = String::new();
            for _ in 0..12 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            let _ = render(&text);
        }
        let deep = format!("{{{{{}.{}}}}}", "(".repeat(5000), ")".repeat(5000));
        assert!(render(&deep).starts_with("ERROR"));
    }
}
