/*!
What a program wants to know of a whole index: its folders, and a look at every image.
*/

use super::{Index, IndexError};

impl Index {
    /// The folders that are indexed, in the order of their paths.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn roots(&self) -> Result<Vec<String>, IndexError> {
        let mut statement =
            self.mine(self.connection.prepare("SELECT path FROM roots ORDER BY path"))?;
        let rows = self.mine(statement.query_map([], |row| row.get(0)))?;
        self.mine(rows.collect())
    }

    /// Shows `look` the id, path and label of every image, in the order of ids.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn each_image(
        &self,
        mut look: impl FnMut(i64, &str, Option<&str>),
    ) -> Result<(), IndexError> {
        let sql = "SELECT id, path, label FROM images ORDER BY id";
        let mut statement = self.mine(self.connection.prepare(sql))?;
        let mut rows = self.mine(statement.query([]))?;
        while let Some(row) = self.mine(rows.next())? {
            let (id, path, label) = (row.get(0), row.get::<_, String>(1), row.get(2));
            let label: Option<String> = self.mine(label)?;
            look(self.mine(id)?, &self.mine(path)?, label.as_deref());
        }
        Ok(())
    }

    /// BLAKE3 of an image's file when it was indexed.
    ///
    /// # Errors
    /// When the file is damaged or there is no such image.
    pub fn content(&self, id: i64) -> Result<blake3::Hash, IndexError> {
        let sql = "SELECT content FROM images WHERE id = ?1";
        let row = self.connection.query_row(sql, [id], |row| row.get::<_, [u8; 32]>(0));
        self.mine(row).map(blake3::Hash::from)
    }
}
