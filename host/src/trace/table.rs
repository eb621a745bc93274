//! Rows of a CSV file, plain or gzip, with errors that name file, line and column.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use csv::ByteRecord;
use flate2::read::MultiGzDecoder;

use crate::error::{Error, Result};

/// An open table; the header line is read.
pub(crate) struct Table {
    path: PathBuf,
    reader: csv::Reader<LineFeeds<Box<dyn Read>>>,
    header: Vec<String>,
    record: ByteRecord,
}

/// One line of a [`Table`].
pub(crate) struct Row<'t> {
    path: &'t Path,
    header: &'t [String],
    record: &'t ByteRecord,
    /// Line number in the file, the first being line 1.
    pub(crate) line: u64,
}

impl Table {
    /// Open `path` and read its header line; gzip is told by its first two bytes.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let readable = |source| Error::io(path, source, "check the path and its permissions");
        let mut file = BufReader::new(File::open(path).map_err(readable)?);
        let compressed = std::io::BufRead::fill_buf(&mut file).map_err(readable)?.starts_with(&[0x1f, 0x8b]);
        let bytes: Box<dyn Read> =
            if compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let bytes = LineFeeds { bytes, ended: false };
        let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
        let header = reader.byte_headers().map_err(|e| malformed(path, 1, &e))?;
        let header: Vec<String> = header.iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect();
        if header.iter().all(String::is_empty) {
            return Err(Error::input(
                path.display().to_string(),
                "the file is empty",
                "give a file with a header line and data",
            ));
        }
        Ok(Self { path: path.to_owned(), reader, header, record: ByteRecord::new() })
    }

    /// The column names.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    /// The position of each wanted column, or an error naming the first one that is missing or there twice.
    pub(crate) fn columns<const N: usize>(&self, names: [&str; N]) -> Result<[usize; N]> {
        let mut found = [0; N];
        for (place, name) in found.iter_mut().zip(names) {
            if self.header.iter().filter(|column| *column == name).count() > 1 {
                return Err(Error::input(
                    format!("{}:1", self.path.display()),
                    format!("the column `{name}` is there twice"),
                    "keep one of the two",
                ));
            }
            *place = self.column(name).ok_or_else(|| {
                Error::input(
                    format!("{}:1", self.path.display()),
                    format!("no column `{name}` in the header"),
                    match self.header.as_slice() {
                        [only] if only.contains([';', '\t']) => "separate the columns by commas".into(),
                        _ => format!("the file needs the columns {}", names.join(",")),
                    },
                )
            })?;
        }
        Ok(found)
    }

    /// The position of an optional column.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    /// The next row, checked to have as many fields as the header; `None` at the end.
    pub(crate) fn next_row(&mut self) -> Result<Option<Row<'_>>> {
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(malformed(&self.path, self.reader.position().line(), &error)),
        }
        // The reader stands behind the line feed of the row. (Where the row began it cannot say: before blank lines.)
        let line = self.reader.position().line() - 1;
        if self.record.len() != self.header.len() {
            return Err(Error::input(
                format!("{}:{line}", self.path.display()),
                format!("{} columns where the header has {}", self.record.len(), self.header.len()),
                "complete or remove the line",
            ));
        }
        Ok(Some(Row { path: &self.path, header: &self.header, record: &self.record, line }))
    }
}

impl Row<'_> {
    /// The field at `column` as text.
    pub(crate) fn text(&self, column: usize) -> String {
        String::from_utf8_lossy(&self.record[column]).into_owned()
    }

    /// The field at `column` as raw bytes.
    pub(crate) fn bytes(&self, column: usize) -> &[u8] {
        &self.record[column]
    }

    /// A whole number that is not negative.
    pub(crate) fn count(&self, column: usize) -> Result<u32> {
        // The digits of almost every field; everything else takes the slow road to a good message.
        let field = &self.record[column];
        if !field.is_empty() && field.len() < 10 && field.iter().all(u8::is_ascii_digit) {
            return Ok(field.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')));
        }
        match self.parse::<f64>(column) {
            Some(value) if value < 0.0 => {
                Err(self.fault(column, "is negative", "write a whole number of at least 0"))
            }
            Some(value) if value > f64::from(u32::MAX) => {
                Err(self.fault(column, "is too large", "write a whole number below 2^32"))
            }
            Some(value) if value.fract() == 0.0 => Ok(value as u32),
            _ => Err(self.fault(column, "is not a whole number", "write a whole number of at least 0")),
        }
    }

    /// A finite number.
    pub(crate) fn number(&self, column: usize) -> Result<f64> {
        self.parse::<f64>(column)
            .filter(|value| value.is_finite())
            .ok_or_else(|| self.fault(column, "is not a number", "write a decimal number"))
    }

    /// A finite number that is not negative.
    pub(crate) fn amount(&self, column: usize) -> Result<f64> {
        let value = self.number(column)?;
        if value < 0.0 {
            return Err(self.fault(column, "is negative", "write a number of at least 0"));
        }
        // -0 is 0: the simulator orders times by their bits.
        Ok(value.abs())
    }

    /// An id, or `None` for -1 and the empty field.
    pub(crate) fn optional_id(&self, column: usize) -> Result<Option<u32>> {
        match &self.record[column] {
            b"" | b"-1" => Ok(None),
            _ => self.count(column).map(Some),
        }
    }

    /// An error about the field at `column`.
    pub(crate) fn fault(&self, column: usize, what: &str, mend: &str) -> Error {
        Error::input(self.at(column), format!("`{}` {what}", shown(&self.text(column))), mend)
    }

    fn parse<T: FromStr>(&self, column: usize) -> Option<T> {
        std::str::from_utf8(&self.record[column]).ok()?.parse().ok()
    }

    fn at(&self, column: usize) -> String {
        let name = shown(&self.header[column]);
        format!("{}:{} column {} ({name})", self.path.display(), self.line, column + 1)
    }
}

/// `text` from a file as it stands in an error: on one line, and not too long for it.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 40;
    let more = if text.chars().nth(LONGEST).is_some() { "..." } else { "" };
    text.chars().take(LONGEST).flat_map(char::escape_debug).chain(more.chars()).collect()
}

fn malformed(path: &Path, line: u64, error: &csv::Error) -> Error {
    Error::input(
        format!("{}:{line}", path.display()),
        format!("cannot be read as CSV or gzip ({error})"),
        "save it again as comma-separated text",
    )
}

/// Bytes without carriage returns, and with a line feed at the end: the CSV reader counts line feeds, and takes in that of
/// a CR LF only with the line after it.
struct LineFeeds<R> {
    bytes: R,
    ended: bool,
}

impl<R: Read> Read for LineFeeds<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while !self.ended && !buffer.is_empty() {
            let read = self.bytes.read(buffer)?;
            if read == 0 {
                self.ended = true;
                buffer[0] = b'\n';
                return Ok(1);
            }
            if !buffer[..read].contains(&b'\r') {
                return Ok(read);
            }
            let mut kept = 0;
            for at in 0..read {
                buffer[kept] = buffer[at];
                kept += usize::from(buffer[at] != b'\r');
            }
            if kept > 0 {
                return Ok(kept);
            }
        }
        Ok(0)
    }
}
