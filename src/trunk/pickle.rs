/*!
The part of Python's pickle format that a file of PyTorch weights is written in.

A pickle is a program for a small stack machine that can call anything. This one calls
nothing: it knows the handful of functions that rebuild a tensor, takes any other object
for one that it cannot look into, and refuses opcodes that no file of weights has. Values
lie in one table and name each other by number, so a pickle may nest and share as it
likes without anything here going deep.
*/

use std::collections::HashMap;

/// More values than a file of weights has.
const MAX_VALUES: usize = 4 << 20;

/// The functions that make a tensor.
const REBUILDERS: [&str; 3] = ["_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_parameter"];

/// The place of a value in the table.
pub(super) type Id = usize;

/// A value that a pickle made.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// `None`, and objects that are not looked into.
    Opaque,
    Bool(bool),
    Int(i64),
    /// An integer of more than eight bytes, little-endian.
    Large(Vec<u8>),
    Text(String),
    /// A tuple or a list.
    List(Vec<Id>),
    /// Keys and values in order.
    Dict(Vec<(Id, Id)>),
    /// A class or function: module and name.
    Global(String, String),
    /// An object that the pickle leaves to its surroundings: its persistent id.
    Persistent(Id),
    /// The arguments of a call of one of [`REBUILDERS`].
    Tensor {
        function: &'static str,
        arguments: Id,
    },
}

/// All values of a pickle, and the one that it stands for.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    root: Id,
}

impl Pickle {
    /// The value that the pickle stands for.
    pub fn root(&self) -> &Value {
        self.value(self.root)
    }

    /// A value by its place.
    pub fn value(&self, id: Id) -> &Value {
        self.values.get(id).unwrap_or(&Value::Opaque)
    }

    /// All values, in the order in which they were made.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// A value as text, a number, or a list.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.value(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn number(&self, id: Id) -> Option<usize> {
        match self.value(id) {
            Value::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    pub fn list(&self, id: Id) -> Option<&[Id]> {
        match self.value(id) {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// Numbers of a tuple, none negative.
    pub fn numbers(&self, id: Id) -> Option<Vec<usize>> {
        self.list(id)?.iter().map(|id| self.number(*id)).collect()
    }
}

/// Reads one pickle from the beginning of `bytes`; gives the number of bytes that it took.
///
/// # Errors
/// Half a sentence when it is cut off or has anything that weights have no use for.
pub(super) fn read(bytes: &[u8]) -> Result<(Pickle, usize), String> {
    let mut machine = Machine { bytes, ..Machine::default() };
    let root = machine.run()?;
    Ok((Pickle { values: machine.values, root }, machine.at))
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack where marks lie.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, String> {
        loop {
            let opcode = self.byte()?;
            match opcode {
                // PROTO and FRAME say how the rest is laid out, which makes no difference.
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.take_marked()?),
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                b'N' => self.push(Value::Opaque)?,
                0x88 | 0x89 => self.push(Value::Bool(opcode == 0x88))?,
                b'K' => {
                    let n = self.byte()?;
                    self.push(Value::Int(n.into()))?;
                }
                b'M' => {
                    let n = u16::from_le_bytes(self.array()?);
                    self.push(Value::Int(n.into()))?;
                }
                b'J' => {
                    let n = i32::from_le_bytes(self.array()?);
                    self.push(Value::Int(n.into()))?;
                }
                0x8a => {
                    let len = self.byte()?.into();
                    let value = integer(self.take(len)?);
                    self.push(value)?;
                }
                // A float: nothing that is looked at is one.
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Opaque)?;
                }
                b'X' | b'T' | b'B' => {
                    let len = u32::from_le_bytes(self.array()?) as usize;
                    self.push_text(len)?;
                }
                0x8c | b'U' | b'C' => {
                    let len = self.byte()?.into();
                    self.push_text(len)?;
                }
                b')' | b']' => self.push(Value::List(Vec::new()))?,
                b'}' => self.push(Value::Dict(Vec::new()))?,
                b't' | b'l' => {
                    let items = self.take_marked()?;
                    self.push(Value::List(items))?;
                }
                0x85..=0x87 => {
                    let count = usize::from(opcode - 0x84);
                    let from = self.stack.len().checked_sub(count).ok_or(SHORT)?;
                    let items = self.stack.split_off(from);
                    self.push(Value::List(items))?;
                }
                b'd' => {
                    let items = self.take_marked()?;
                    self.push(Value::Dict(pairs(&items)))?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.take_marked()?;
                    self.append(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(vec![key, value])?;
                }
                b'u' => {
                    let items = self.take_marked()?;
                    self.set(items)?;
                }
                b'q' => {
                    let key = self.byte()?.into();
                    self.remember(key)?;
                }
                b'r' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.remember(key)?;
                }
                0x94 => self.remember(self.memo.len() as u32)?,
                b'h' => {
                    let key = self.byte()?.into();
                    self.recall(key)?;
                }
                b'j' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.recall(key)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Value::Global(module, name))?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let global = match (&self.values[module], &self.values[name]) {
                        // Anything can be repeated for a few bytes, so it had better be short.
                        (Value::Text(module), Value::Text(name))
                            if module.len().max(name.len()) < 200 =>
                        {
                            Value::Global(module.clone(), name.clone())
                        }
                        _ => return Err("its pickle names no class".to_owned()),
                    };
                    self.push(global)?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.push(Value::Persistent(id))?;
                }
                // Calls and constructions: REDUCE and NEWOBJ.
                b'R' | 0x81 => {
                    let (arguments, callee) = (self.pop()?, self.pop()?);
                    let made = self.call(callee, arguments);
                    self.push(made)?;
                }
                // BUILD sets an object's attributes, and what is set on weights are versions.
                b'b' => drop(self.pop()?),
                other => return Err(format!("its pickle has the opcode {other:#04x}")),
            }
        }
    }

    /// Returns the value of a call. Nothing is run.
    fn call(&self, callee: Id, arguments: Id) -> Value {
        let Value::Global(module, name) = &self.values[callee] else { return Value::Opaque };
        match (module.as_str(), name.as_str()) {
            ("collections", "OrderedDict") => Value::Dict(Vec::new()),
            ("torch._utils", name) => match REBUILDERS.iter().find(|known| **known == name) {
                Some(function) => Value::Tensor { function, arguments },
                None => Value::Opaque,
            },
            _ => Value::Opaque,
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let list = self.top()?;
        if let Value::List(list) = &mut self.values[list] {
            list.extend(items);
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Id>) -> Result<(), String> {
        let dict = self.top()?;
        if let Value::Dict(dict) = &mut self.values[dict] {
            dict.extend(pairs(&items));
        }
        Ok(())
    }

    fn remember(&mut self, key: u32) -> Result<(), String> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let id = self.memo.get(&key).ok_or("its pickle refers to what is not there")?;
        self.stack.push(*id);
        Ok(())
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.values.len() >= MAX_VALUES {
            return Err("its pickle has too many values for a file of weights".to_owned());
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    fn push_text(&mut self, len: usize) -> Result<(), String> {
        let text = String::from_utf8_lossy(self.take(len)?).into_owned();
        self.push(Value::Text(text))
    }

    fn pop(&mut self) -> Result<Id, String> {
        // What lies under a mark is not reached by popping.
        let floor = self.marks.last().copied().unwrap_or(0);
        let above = self.stack.len() > floor;
        above.then(|| self.stack.pop()).flatten().ok_or_else(|| SHORT.to_owned())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| SHORT.to_owned())
    }

    /// All above the last mark, and the mark.
    fn take_marked(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len()).ok_or(SHORT)?;
        Ok(self.stack.split_off(mark))
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..len).ok_or("its pickle is cut off")?;
        self.at += len;
        Ok(taken)
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|byte| *byte == b'\n').ok_or("its pickle is cut off")?;
        let line = String::from_utf8_lossy(&rest[..len]).into_owned();
        self.at += len + 1;
        Ok(line)
    }
}

/// The reason given for a pickle that takes more from the stack than there is.
const SHORT: &str = "its pickle takes what is not there";

/// A signed integer of any length.
fn integer(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Large(bytes.to_vec());
    }
    let sign = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
    let mut whole = [sign; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(whole))
}

fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_what_python_wrote() {
        // pickle.dumps({"a": [1, 300, -2, 70000], "b": (True, None, 2**70)}, protocol=2)
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01M,\x01J\xfe\xff\xff\xff\
            Jp\x11\x01\x00eX\x01\x00\x00\x00bq\x03\x88N\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\
            @\x87q\x04u.rest";
        let (pickle, len) = read(bytes).unwrap();
        assert_eq!(&bytes[len..], b"rest");
        let Value::Dict(entries) = pickle.root() else { panic!("{pickle:?}") };
        let keys: Vec<_> = entries.iter().map(|(key, _)| pickle.text(*key).unwrap()).collect();
        assert_eq!(keys, ["a", "b"]);
        let list = pickle.list(entries[0].1).unwrap();
        let ints: Vec<_> = list.iter().map(|id| pickle.value(*id).clone()).collect();
        assert_eq!(ints, [1, 300, -2, 70_000].map(Value::Int));
        assert_eq!(pickle.numbers(entries[0].1), None, "one is negative");
        let tuple = pickle.list(entries[1].1).unwrap();
        assert_eq!(pickle.value(tuple[0]), &Value::Bool(true));
        assert!(matches!(pickle.value(tuple[2]), Value::Large(bytes) if bytes.len() == 9));
    }

    #[test]
    fn nothing_is_called() {
        // os.system("true"), as a hostile file has it.
        let bytes = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.";
        assert_eq!(read(bytes).unwrap().0.root(), &Value::Opaque);
    }

    #[test]
    fn a_deep_pickle_is_no_trouble() {
        let mut bytes = vec![b')'];
        bytes.extend(std::iter::repeat_n(0x85, 1_000_000));
        bytes.push(b'.');
        assert!(matches!(read(&bytes).unwrap().0.root(), Value::List(items) if items.len() == 1));
        let endless = vec![b')'; MAX_VALUES + 2];
        assert!(read(&endless).unwrap_err().contains("too many"));
    }

    #[test]
    fn what_weights_have_no_use_for_is_refused() {
        // INST, EXT1, PERSID, an empty stack, a mark that is not there, half a number.
        for bytes in [&b"(i"[..], b"\x82\x01", b"Pid\n.", b".", b"t.", b"J\x01", b"h\x05.", b""] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }

        #[test]
        fn any_opcodes_never_panic(
            opcodes in proptest::collection::vec(
                prop::sample::select(b"(0122N)]}tldaesuhqQRb.\x81\x85\x86\x87\x88\x94\x93".to_vec()),
                0..60,
            ),
        ) {
            let _ = read(&opcodes);
        }
    }
}
