/*!
`barbule serve`: a local page to search one's photos.
*/

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use clap::ValueHint;
use serde_json::json;

use super::Context;
use super::query::index_path;
use crate::device::Device;
use crate::index::{Index, IndexError, IndexWriter};
use crate::model::Model;
use crate::serve::{Options, Server};
use crate::train::OwnHash;

/// Serve a page on this machine to search your photos
///
/// Prints the URL with the secret that opens the page, and runs until Ctrl-C. Only this machine can
/// reach it, unless --address allows others.
///
/// On the page you add folders to the index and give images labels. The pictures themselves are
/// never changed. The index is only read with --read-only, or if other machines can reach the page.
/// Images that `barbule index` adds meanwhile appear automatically. The default index is made if it
/// is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: barbule serve --open\n         \
                        barbule serve --model birds.safetensors --index birds.db --port 8080")]
pub struct Args {
    /// The index file [default: barbule.db in the platform's data folder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    index: Option<PathBuf>,
    /// The model file of the index [default: the model that made it]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    model: Option<PathBuf>,
    /// The address to listen on; any but a loopback address admits other machines
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// The port to listen on; 0 for any free one
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    /// Show the index, and let nobody add folders or give labels
    #[arg(long)]
    read_only: bool,
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
}

pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let index = index_path(args.index.as_deref())?;
    // The first folder may be added on the page.
    let editable = args.address.is_loopback() && !args.read_only;
    let (device, model) = if args.index.is_none() && editable && !index.exists() {
        let device = context.device()?;
        let model = created(context, args, &index, &device)?;
        (device, model)
    } else {
        // Before the model, which takes longer to open.
        let opened = Index::open(&index)?;
        let device = context.device()?;
        let model = model(context, args, &opened, &device)?;
        (device, model)
    };
    let address = SocketAddr::new(args.address, args.port);
    let options = Options::new(index, address).with_limits(context.limits);
    let options = options.with_read_only(args.read_only).with_fitter(OwnHash);
    let server = Server::bind(options, device, model)?;
    if !args.address.is_loopback() {
        context.warn(
            "anyone who can reach this machine and learns the URL below can see the indexed photos; the connection is not encrypted",
        );
    }
    let url = server.url();
    if context.json {
        context.print_json(&json!({
            "url": url, "address": server.address().ip().to_string(),
            "port": server.address().port(), "index": server.index(), "images": server.images(),
        }))?;
    } else {
        context.print(&url)?;
        context.say(format_args!(
            "{} images in {}; press Ctrl-C to stop",
            server.images(),
            server.index().display()
        ));
    }
    if args.open
        && let Err(error) = open::that_detached(server.url_once()?)
    {
        context.warn(format_args!("cannot open a browser ({error}); open the URL yourself"));
    }
    server.run(context.stop())?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the default index, without images, and returns its model.
fn created(context: &Context, args: &Args, index: &Path, device: &Device) -> Result<Model> {
    let model = context.model(args.model.as_deref(), device)?;
    if let Some(folder) = index.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let mut writer = IndexWriter::open(index, &model)?;
    if let Some(file) = &args.model {
        writer.set_model_file(file)?;
    }
    context.say(format_args!("{} is new; add folders on the page", index.display()));
    Ok(model)
}

/// Opens the model of `--model`, or the one that made the index.
fn model(context: &Context, args: &Args, index: &Index, device: &Device) -> Result<Model> {
    if args.model.is_some() || index.model() == Model::general_fingerprint() {
        let model = context.model(args.model.as_deref(), device)?;
        index.same_model(model.bits(), model.fingerprint())?;
        return Ok(model);
    }
    index.open_model(device).map_err(|error| match error {
        IndexError::NoModel(_) => {
            anyhow!("the file of the model that made this index is missing; pass it with --model")
        }
        error => error.into(),
    })
}
