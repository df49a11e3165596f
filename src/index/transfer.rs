/*!
An index block by block, for other programs and from them.
*/

use rusqlite::{OptionalExtension, TransactionBehavior, params};

use super::store::unpack_ids;
use super::{Index, IndexError, is_under};
use crate::code::BinaryCodes;

/// Images of one block of codes, column by column.
pub(crate) struct Block {
    pub ids: Vec<i64>,
    pub paths: Vec<String>,
    pub labels: Vec<Option<String>>,
    pub contents: Vec<[u8; 32]>,
    pub codes: BinaryCodes,
}

impl Index {
    /// The block behind the image `last`.
    pub(crate) fn block_after(&self, last: i64) -> Result<Option<Block>, IndexError> {
        let sql = "SELECT ids, codes FROM blocks WHERE first > ?1 ORDER BY first LIMIT 1";
        let mut statement = self.mine(self.connection.prepare_cached(sql))?;
        let row = statement
            .query_row([last], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)));
        let Some((ids, codes)) = self.mine(row.optional())? else { return Ok(None) };
        let codes = BinaryCodes::from_bytes(self.bits(), &codes)?;
        let ids: Vec<i64> = unpack_ids(&ids).collect();
        let (paths, labels, contents) = Default::default();
        let mut block = Block { ids, paths, labels, contents, codes };
        let (Some(first), Some(last)) = (block.ids.first(), block.ids.last()) else {
            return Err(self.damaged("a block is empty"));
        };
        let sql =
            "SELECT id, path, label, content FROM images WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
        let mut statement = self.mine(self.connection.prepare_cached(sql))?;
        let mut rows = self.mine(statement.query([first, last]))?;
        let mut found = Vec::with_capacity(block.ids.len());
        while let Some(row) = self.mine(rows.next())? {
            found.push(self.mine(row.get::<_, i64>(0))?);
            block.paths.push(self.mine(row.get(1))?);
            block.labels.push(self.mine(row.get(2))?);
            block.contents.push(self.mine(row.get(3))?);
        }
        if found != block.ids || block.codes.len() != block.ids.len() {
            return Err(self.damaged("its images and its codes are not the same"));
        }
        Ok(Some(block))
    }

    /// For an index that nobody sees before it is whole: what is written is on disk for sure only
    /// when the file is synchronised after closing.
    pub(crate) fn hurry(&mut self) -> Result<(), IndexError> {
        // Keys are random: with the usual 2 MB every page is read and written many times.
        let sql = "PRAGMA synchronous = OFF; PRAGMA cache_size = -131072;";
        let done = self.connection.execute_batch(sql);
        self.mine(done)
    }

    /// Adds images that come with ids of their own, all larger than those there are. They look
    /// changed to the next update, which finds that their content is the same.
    pub(crate) fn take_in(&mut self, block: &Block, roots: &[String]) -> Result<(), IndexError> {
        let done = (|| {
            let behavior = TransactionBehavior::Immediate;
            let transaction = self.connection.transaction_with_behavior(behavior)?;
            {
                let mut root = transaction.prepare_cached(
                    "INSERT INTO roots (path) VALUES (?1) ON CONFLICT DO UPDATE SET path = path RETURNING id",
                )?;
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO images (id, root, path, size, modified, content, label) \
                     VALUES (?1, ?2, ?3, -1, 0, ?4, ?5)",
                )?;
                for (row, path) in block.paths.iter().enumerate() {
                    let within = roots.iter().find(|root| is_under(path, root));
                    let parent = std::path::Path::new(path).parent().and_then(|p| p.to_str());
                    let within = within.map(String::as_str).or(parent).unwrap_or("/");
                    let root: i64 = root.query_row([within], |row| row.get(0))?;
                    let (id, content) = (block.ids[row], block.contents[row]);
                    insert.execute(params![id, root, path, content, block.labels[row]])?;
                }
                let ids: Vec<u8> = block.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
                let codes: Vec<u8> =
                    (0..block.codes.len()).flat_map(|row| block.codes.row_bytes(row)).collect();
                let sql = "INSERT INTO blocks (first, ids, codes) VALUES (?1, ?2, ?3)";
                transaction.execute(sql, params![block.ids.first(), ids, codes])?;
            }
            transaction.commit()
        })();
        self.mine(done)
    }
}
