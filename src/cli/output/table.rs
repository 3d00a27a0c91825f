//! Tables as docker prints them: columns padded with spaces to the widest cell plus three, the last one unpadded.

/// Lays out rows whose cells are separated by tabs. Column widths hold across the whole table, so a cell that is missing in
/// a row ends that row.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

/// Spaces between two columns, and the least width of a column with them: what docker sets its tab writer to.
const PADDING: usize = 3;
const MIN_WIDTH: usize = 10;

impl Table {
    /// Adds a row.
    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Adds a row from a line in which tabs separate the cells.
    pub(crate) fn tabbed(&mut self, line: &str) {
        self.row(line.split('\t'));
    }

    /// The text, each row with its newline.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        // Go's tabwriter counts a column over consecutive rows that have it; every row of ours has all of them.
        let width = |column: usize| {
            let cells = self.rows.iter().filter(|r| r.len() > column + 1);
            cells.map(|r| r[column].chars().count() + PADDING).fold(MIN_WIDTH, usize::max)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            for (i, cell) in row.iter().enumerate() {
                text.push_str(cell);
                if i + 1 < row.len() {
                    text.extend(std::iter::repeat_n(' ', widths[i] - cell.chars().count()));
                }
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_as_in_docker_ps() {
        let mut table = Table::default();
        table.tabbed("CONTAINER ID\tIMAGE\tNAMES");
        table.row(["0123456789ab", "alpine:latest-and-long", "web"]);
        assert_eq!(
            table.render(),
            "CONTAINER ID   IMAGE                    NAMES\n0123456789ab   alpine:latest-and-long   web\n"
        );
        let mut narrow = Table::default();
        narrow.tabbed("IMAGE\tID");
        assert_eq!(narrow.render(), "IMAGE     ID\n");
        assert_eq!(Table::default().render(), "");
    }
}
