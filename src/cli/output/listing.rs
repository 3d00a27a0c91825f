//! Lists (`images`, `ps`): rows of named text, printed as a table, by a template, or as JSON, one object per line.

use super::table::Table;
use crate::base::Result;
use crate::base::template::{Template, sorted};
use serde_json::{Map, Value};

/// How a list is printed.
pub(crate) enum Format {
    /// With a head line and columns in line.
    Table(Template),
    /// One line per row.
    Lines(Template),
    /// One JSON object per row.
    Json,
}

impl Format {
    /// Reads `--format`: `table`, `table TEMPLATE`, `json`, or a template. `default` is the template of the plain table.
    pub(crate) fn parse(given: Option<&str>, default: &str) -> Result<Self> {
        let text = given.map(str::trim).filter(|t| !t.is_empty()).unwrap_or("table");
        if text == "json" {
            return Ok(Self::Json);
        }
        // A shell passes `\t` on as two characters; docker takes them for a tab.
        let unescape = |t: &str| t.replace("\\t", "\t").replace("\\n", "\n");
        match text.strip_prefix("table") {
            Some("") => Ok(Self::Table(Template::parse(default)?)),
            Some(rest) if rest.starts_with([' ', '\t', '\\', '{']) => {
                Ok(Self::Table(Template::parse(unescape(rest).trim_start())?))
            }
            _ => Ok(Self::Lines(Template::parse(&unescape(text))?)),
        }
    }
}

/// Prints `rows`, objects with the same keys. `titles` gives the head of each column that has one; `heading` turns the head
/// line off.
pub(crate) fn render(rows: &[Value], titles: &[(&str, &str)], format: &Format, heading: bool) -> Result<String> {
    match format {
        Format::Json => Ok(rows.iter().map(|row| format!("{}\n", sorted(row))).collect()),
        Format::Lines(template) => rows.iter().map(|row| Ok(template.render(row)? + "\n")).collect(),
        Format::Table(template) => {
            let mut table = Table::default();
            if heading {
                let titles: Map<String, Value> = titles.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())).collect();
                table.tabbed(&template.render_header(&Value::Object(titles))?);
            }
            for row in rows {
                table.tabbed(&template.render(row)?);
            }
            Ok(table.render())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn printed(format: Option<&str>, heading: bool) -> String {
        let rows = [json!({"Name": "web", "ID": "1"}), json!({"Name": "a-longer-name", "ID": "2"})];
        let titles = [("Name", "NAME"), ("ID", "ID")];
        let format = Format::parse(format, "{{.Name}}\t{{.ID}}").unwrap();
        render(&rows, &titles, &format, heading).unwrap()
    }

    #[test]
    fn formats() {
        let table = "NAME            ID\nweb             1\na-longer-name   2\n";
        assert_eq!(printed(None, true), table);
        assert_eq!(printed(Some("table"), true), table);
        assert_eq!(printed(Some("table {{.Name}}\\t{{.ID}}"), true), table);
        assert_eq!(printed(Some("table {{upper .Name}}"), true), "NAME\nWEB\nA-LONGER-NAME\n");
        assert_eq!(printed(None, false), "web             1\na-longer-name   2\n");
        assert_eq!(printed(Some("{{.ID}}\\t{{.Name}}"), true), "1\tweb\n2\ta-longer-name\n");
        assert_eq!(
            printed(Some("json"), true),
            "{\"ID\":\"1\",\"Name\":\"web\"}\n{\"ID\":\"2\",\"Name\":\"a-longer-name\"}\n"
        );
        assert!(Format::parse(Some("{{"), "").is_err());
    }
}
