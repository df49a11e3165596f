/*!
Device selection: chooses an adapter and opens the wgpu device that Burn and Barbule's own
shaders share.

This module does not depend on models or codes. An adapter is opened once per process;
opening it again returns the same handle.
*/

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::cause::Cause;
#[cfg(feature = "model")]
use crate::cause::in_detail;

/// The kind of device to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DeviceChoice {
    /// The best hardware GPU, else the CPU.
    #[default]
    Auto,
    /// Any graphics API; a software adapter only if there is no hardware GPU.
    Gpu,
    /// Like `Gpu`, with Vulkan only.
    Vulkan,
    /// Like `Gpu`, with Metal only.
    Metal,
    /// Like `Gpu`, with Direct3D 12 only.
    Dx12,
    /// The CPU, without any graphics API.
    Cpu,
}

impl DeviceChoice {
    /// All choices.
    pub const ALL: [Self; 6] =
        [Self::Auto, Self::Gpu, Self::Vulkan, Self::Metal, Self::Dx12, Self::Cpu];

    /// The name, which [`DeviceChoice::from_str`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Gpu => "gpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Dx12 => "dx12",
            Self::Cpu => "cpu",
        }
    }

    fn backends(self) -> wgpu::Backends {
        match self {
            Self::Cpu => wgpu::Backends::empty(),
            Self::Auto | Self::Gpu => {
                wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12
            }
            Self::Vulkan => wgpu::Backends::VULKAN,
            Self::Metal => wgpu::Backends::METAL,
            Self::Dx12 => wgpu::Backends::DX12,
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|c| c.name() == text);
        found.ok_or_else(|| format!("'{text}' is not one of auto, gpu, vulkan, metal, dx12, cpu"))
    }
}

/// An error of opening a device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No adapter matches the choice.
    #[error("no adapter found for the device '{0}'; install a graphics driver or use the CPU")]
    NoAdapter(DeviceChoice),
    /// The wanted name or number matches no adapter.
    #[error("no adapter matches '{wanted}'; available: {there}")]
    NoSuchAdapter {
        /// The wanted name or number.
        wanted: String,
        /// The available adapters, numbered.
        there: String,
    },
    /// An adapter together with [`DeviceChoice::Cpu`].
    #[error("a graphics adapter was named, but the CPU uses none; leave one of them out")]
    AdapterOnCpu,
    /// The driver refused to open the adapter.
    #[error("{adapter} could not be opened: {reason}; try another adapter or the CPU")]
    Open {
        /// The adapter's name.
        adapter: String,
        /// The driver's error message.
        #[source]
        reason: Cause,
    },
}

/// The description of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdapterInfo {
    /// Its number, which [`Device::open`] accepts.
    pub index: usize,
    /// The name reported by the driver.
    pub name: String,
    /// The graphics API: vulkan, metal or dx12.
    pub backend: String,
    /// Whether it is emulated on the CPU.
    pub software: bool,
    /// discrete, integrated, virtual, software or other.
    pub kind: &'static str,
    /// The driver's name and version.
    pub driver: String,
}

impl fmt::Display for AdapterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.backend, self.kind)
    }
}

/// An opened graphics adapter: one wgpu device and queue, shared with Burn.
///
/// Burn sets the device's lost and error callbacks, so they are never replaced here. Barbule's
/// own work runs inside error scopes instead.
#[derive(Debug)]
#[non_exhaustive]
pub struct Gpu {
    /// The description of its adapter.
    pub info: AdapterInfo,
    /// The logical device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
    /// State that users of the device keep with it, by type.
    states: States,
    #[cfg(feature = "model")]
    burn: burn::tensor::Device,
}

impl Gpu {
    /// Returns the state of type `T` that is kept with this device. The first call creates it;
    /// it is dropped together with the device.
    pub(crate) fn state<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        self.states.get()
    }
}

/// One value per type.
#[derive(Debug, Default)]
struct States(Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl States {
    fn get<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        // A poisoned lock still guards whole entries.
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        // The key is the type, so the cast cannot fail.
        Arc::clone(state).downcast().unwrap_or_default()
    }
}

#[cfg(feature = "model")]
impl Gpu {
    /// Submits Burn's queued work to the device.
    pub(crate) fn flush(&self) -> Result<(), Cause> {
        self.burn.flush().map_err(in_detail)
    }
}

/// An opened device.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Device {
    /// The CPU.
    Cpu,
    /// A graphics adapter.
    Gpu(Arc<Gpu>),
}

impl Device {
    /// Selects a device and opens it.
    ///
    /// `adapter` is an index into [`adapters`] or a part of a name, case-insensitive.
    ///
    /// # Errors
    /// If no adapter matches or the driver cannot open it. `Auto` without `adapter` falls back
    /// to the CPU if there is no hardware GPU. A hardware GPU that cannot be opened is an
    /// error, so that nobody runs on the slow CPU unknowingly.
    pub fn open(choice: DeviceChoice, adapter: Option<&str>) -> Result<Self, DeviceError> {
        if choice == DeviceChoice::Cpu {
            return match adapter {
                Some(_) => Err(DeviceError::AdapterOnCpu),
                None => Ok(Self::Cpu),
            };
        }
        let found = enumerate(choice.backends());
        let index = match adapter {
            Some(wanted) => Some(find(&found, wanted)?),
            // The list is in order of preference, software last.
            None if choice == DeviceChoice::Auto => found.iter().position(|(i, _)| !i.software),
            None if found.is_empty() => return Err(DeviceError::NoAdapter(choice)),
            None => Some(0),
        };
        match index.and_then(|i| found.into_iter().nth(i)) {
            Some((info, adapter)) => Ok(Self::Gpu(open_adapter(info, adapter)?)),
            None => Ok(Self::Cpu),
        }
    }

    /// The corresponding Burn device.
    #[cfg(feature = "model")]
    pub fn burn(&self) -> burn::tensor::Device {
        match self {
            Self::Cpu => burn::tensor::Device::flex(),
            Self::Gpu(gpu) => gpu.burn.clone(),
        }
    }

    /// Whether this is the CPU.
    pub fn is_cpu(&self) -> bool {
        matches!(self, Self::Cpu)
    }

    /// Whether both are the same physical device. Adapters of equal name but different graphics
    /// APIs count as the same card.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cpu, Self::Cpu) => true,
            (Self::Gpu(a), Self::Gpu(b)) => {
                let interfaces = a.info.name == b.info.name && a.info.backend != b.info.backend;
                a.info == b.info || interfaces
            }
            _ => false,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => {
                let threads = rayon::current_num_threads();
                write!(f, "CPU ({threads} thread{})", if threads == 1 { "" } else { "s" })
            }
            Self::Gpu(gpu) => gpu.info.fmt(f),
        }
    }
}

/// Returns the adapters that `choice` may use, best first, in the order of their numbers.
pub fn adapters(choice: DeviceChoice) -> Vec<AdapterInfo> {
    enumerate(choice.backends()).into_iter().map(|(info, _)| info).collect()
}

fn enumerate(backends: wgpu::Backends) -> Vec<(AdapterInfo, wgpu::Adapter)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut found: Vec<_> = pollster::block_on(instance.enumerate_adapters(backends))
        .into_iter()
        .map(|adapter| (adapter.get_info(), adapter))
        .collect();
    // A stable order, so that numbers stay valid between calls.
    found.sort_by_key(|(info, _)| (preference(info.device_type), info.backend as u8));
    let describe = |(index, (info, adapter)): (usize, (wgpu::AdapterInfo, wgpu::Adapter))| {
        let ours = AdapterInfo {
            index,
            name: info.name,
            backend: info.backend.to_str().to_owned(),
            software: info.device_type == wgpu::DeviceType::Cpu,
            kind: kind(info.device_type),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        };
        (ours, adapter)
    };
    found.into_iter().enumerate().map(describe).collect()
}

fn preference(kind: wgpu::DeviceType) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

fn kind(kind: wgpu::DeviceType) -> &'static str {
    match kind {
        wgpu::DeviceType::DiscreteGpu => "discrete",
        wgpu::DeviceType::IntegratedGpu => "integrated",
        wgpu::DeviceType::VirtualGpu => "virtual",
        wgpu::DeviceType::Other => "other",
        wgpu::DeviceType::Cpu => "software",
    }
}

fn find(found: &[(AdapterInfo, wgpu::Adapter)], wanted: &str) -> Result<usize, DeviceError> {
    let names = || found.iter().map(|(i, _)| format!("{} = {i}", i.index)).collect::<Vec<_>>();
    let none = || {
        let there = if found.is_empty() { "none".to_owned() } else { names().join(", ") };
        DeviceError::NoSuchAdapter { wanted: wanted.to_owned(), there }
    };
    if let Ok(number) = wanted.parse::<usize>() {
        return if number < found.len() { Ok(number) } else { Err(none()) };
    }
    let wanted_lower = wanted.to_lowercase();
    let position = found.iter().position(|(i, _)| i.name.to_lowercase().contains(&wanted_lower));
    position.filter(|_| !wanted.is_empty()).ok_or_else(none)
}

/// Opens an adapter, or returns the existing handle if it is already open.
fn open_adapter(info: AdapterInfo, adapter: wgpu::Adapter) -> Result<Arc<Gpu>, DeviceError> {
    static OPEN: OnceLock<Mutex<Vec<Arc<Gpu>>>> = OnceLock::new();
    let open = OPEN.get_or_init(Default::default);
    // A poisoned lock still guards a valid list, because entries are only ever pushed.
    let mut open = open.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let same = |gpu: &&Arc<Gpu>| (&gpu.info.name, &gpu.info.backend) == (&info.name, &info.backend);
    // Two equal cards in one machine differ only by their number.
    if let Some(gpu) = open.iter().filter(same).find(|gpu| gpu.info.index == info.index) {
        return Ok(gpu.clone());
    }
    let refused = |reason: Cause| DeviceError::Open { adapter: info.to_string(), reason };
    // The features that Burn itself requests, without the experimental ones, which need
    // `unsafe`.
    let features = adapter.features()
        - wgpu::Features::MAPPABLE_PRIMARY_BUFFERS
        - wgpu::Features::all_experimental_mask();
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("barbule"),
        required_features: features,
        required_limits: adapter.limits(),
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
        .map_err(|error| refused(error.into()))?;
    #[cfg(feature = "model")]
    let burn = share_with_burn(&adapter, &device, &queue).map_err(refused)?;
    let gpu = Arc::new(Gpu {
        info,
        device,
        queue,
        states: States::default(),
        #[cfg(feature = "model")]
        burn,
    });
    open.push(gpu.clone());
    Ok(gpu)
}

#[cfg(feature = "model")]
fn share_with_burn(
    adapter: &wgpu::Adapter,
    device: &wgpu::Device,
    queue: &wgpu::Queue,
) -> Result<burn::tensor::Device, Cause> {
    let backend = adapter.get_info().backend;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: backend.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let (adapter, device, queue) = (adapter.clone(), device.clone(), queue.clone());
    let setup = burn::tensor::wgpu::WgpuSetup { instance, adapter, device, queue, backend };
    Ok(burn::tensor::Device::wgpu_options().setup(setup).init()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_kept_by_its_type_and_dropped_with_the_device() {
        let states = States::default();
        let first: Arc<Mutex<u32>> = states.get();
        *first.lock().unwrap() = 7;
        assert_eq!(*states.get::<Mutex<u32>>().lock().unwrap(), 7);
        assert_eq!(*states.get::<Mutex<u64>>().lock().unwrap(), 0);
        let kept = Arc::downgrade(&first);
        drop(first);
        assert!(kept.upgrade().is_some());
        drop(states);
        assert!(kept.upgrade().is_none());
    }

    #[test]
    fn every_choice_reads_back() {
        for choice in DeviceChoice::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert!("cuda".parse::<DeviceChoice>().is_err());
    }

    #[test]
    fn cpu_needs_no_driver_and_takes_no_adapter() {
        assert!(Device::open(DeviceChoice::Cpu, None).is_ok_and(|d| d.is_cpu()));
        let both = Device::open(DeviceChoice::Cpu, Some("0"));
        assert!(matches!(both, Err(DeviceError::AdapterOnCpu)));
    }

    #[test]
    fn an_unknown_adapter_is_named_in_the_error() {
        let error = Device::open(DeviceChoice::Gpu, Some("no such card")).unwrap_err();
        assert!(error.to_string().contains("no such card"), "{error}");
    }
}
