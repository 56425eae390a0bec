//! The database's tables, row by row, as an object of JSON a line: whatever tables there are.

use std::io::Write;
use std::path::Path;

use futures_util::TryStreamExt;
use serde_json::{Map, Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Connection, Row, TypeInfo, ValueRef};

use super::backup::DATABASE;

/// The database of a data folder, to be read only, also while it is served.
pub(crate) struct Tables(SqliteConnection);

impl Tables {
    /// Opens it.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn open(data: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(data.join(DATABASE)).read_only(true);
        Ok(Self(options.connect().await?))
    }

    /// The names of all tables, by the database's own schema.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn names(&mut self) -> Result<Vec<String>, sqlx::Error> {
        let names = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
        sqlx::query_scalar(names).fetch_all(&mut self.0).await
    }

    /// Writes the rows of a table; how many there are.
    ///
    /// # Errors
    /// What the database says, or the file.
    pub(crate) async fn write(
        &mut self,
        table: &str,
        out: &mut impl Write,
    ) -> Result<u64, sqlx::Error> {
        // A name by the database itself, quoted as SQL wants it.
        let query = format!("SELECT * FROM \"{}\"", table.replace('"', "\"\""));
        let mut rows = sqlx::query(AssertSqlSafe(query)).fetch(&mut self.0);
        let mut count = 0;
        while let Some(row) = rows.try_next().await? {
            serde_json::to_writer(&mut *out, &object(&row)?).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
            count += 1;
        }
        Ok(count)
    }

    /// Ends the connection.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        self.0.close().await
    }
}

/// A row: numbers and texts as they are, bytes as text where they are text, else as `{"hex": "..."}`.
fn object(row: &SqliteRow) -> Result<Map<String, Value>, sqlx::Error> {
    let mut object = Map::new();
    for column in row.columns() {
        let place = column.ordinal();
        let stored = row.try_get_raw(place)?;
        let kind = stored.type_info().name().to_owned();
        let value = match (stored.is_null(), kind.as_str()) {
            (true, _) => Value::Null,
            (_, "INTEGER" | "BIGINT" | "BOOLEAN") => {
                json!(row.try_get_unchecked::<i64, _>(place)?)
            }
            (_, "REAL") => json!(row.try_get_unchecked::<f64, _>(place)?),
            (_, "TEXT" | "DATETIME" | "DATE" | "TIME") => {
                json!(row.try_get_unchecked::<String, _>(place)?)
            }
            _ => bytes(row.try_get_unchecked(place)?),
        };
        object.insert(column.name().to_owned(), value);
    }
    Ok(object)
}

fn bytes(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(error) => json!({ "hex": hex::encode(error.as_bytes()) }),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::open;
    use super::*;

    #[tokio::test]
    async fn every_table_is_in_the_list_of_what_is_held() {
        let folder = TempDir::new().unwrap();
        let store = open(folder.path()).await.unwrap();
        let mut tables = Tables::open(folder.path()).await.unwrap();
        let names = tables.names().await.unwrap();
        assert!(names.len() > 12, "{names:?}");
        for name in &names {
            let held = ringfence_crypto::held::of(name);
            let is_table =
                held.is_some_and(|held| held.place == ringfence_crypto::held::Place::Table);
            assert!(is_table, "say in crypto/src/held.rs what {name} holds, and what of an update");
        }
        store.statements.close().await;
    }

    #[tokio::test]
    async fn rows_are_written_as_they_are() {
        let folder = TempDir::new().unwrap();
        let store = open(folder.path()).await.unwrap();
        let options = SqliteConnectOptions::new().filename(folder.path().join(DATABASE));
        let mut connection = options.connect().await.unwrap();
        let made = "CREATE TABLE \"o\"\"dd\" (n INTEGER, t TEXT, b BLOB, r REAL)";
        sqlx::query(made).execute(&mut connection).await.unwrap();
        let row = "INSERT INTO \"o\"\"dd\" VALUES (7, 'x', x'ff00', 0.5), (NULL, NULL, CAST('{}' AS BLOB), NULL)";
        sqlx::query(row).execute(&mut connection).await.unwrap();
        let mut tables = Tables::open(folder.path()).await.unwrap();
        assert!(tables.names().await.unwrap().contains(&"o\"dd".to_owned()));
        let mut out = Vec::new();
        assert_eq!(tables.write("o\"dd", &mut out).await.unwrap(), 2);
        let expected = "{\"b\":{\"hex\":\"ff00\"},\"n\":7,\"r\":0.5,\"t\":\"x\"}\n{\"b\":\"{}\",\"n\":null,\"r\":null,\"t\":null}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        tables.close().await.unwrap();
        store.statements.close().await;
    }
}
