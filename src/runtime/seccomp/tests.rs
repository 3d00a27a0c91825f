//! The program agrees with its profile: an interpreter of classic BPF on one side, a plain reading of the rules on the
//! other, for every call number of every architecture.

use super::compile_anew;
use super::rules::{BAD_ARCH, errno};
use super::table::{self, Abi};
use crate::spec::caps::CapSet;
use crate::spec::seccomp::{Facts, default_profile, load};
use libc::sock_filter;
use oci_spec::runtime::LinuxSyscall;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator as Op,
};
use proptest::prelude::*;
use std::collections::HashMap;

const ALLOW: u32 = 0x7fff_0000;

/// `struct seccomp_data` without the instruction pointer.
#[derive(Debug, Clone, Copy)]
struct Data {
    number: u32,
    audit: u32,
    args: [u64; 6],
}

/// Runs the program as the kernel does; panics where the kernel would refuse to load it.
fn run(program: &[sock_filter], data: &Data) -> u32 {
    let load = |offset: u32| match offset {
        0 => data.number,
        4 => data.audit,
        16..=60 if offset.is_multiple_of(4) => {
            let arg = data.args[(offset as usize - 16) / 8];
            if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
        }
        _ => panic!("bad offset {offset}"),
    };
    let (mut a, mut pc) = (0u32, 0usize);
    for steps in 0.. {
        assert!(steps < 200, "too long a way for {data:?}");
        let i = program[pc];
        pc += 1;
        let branch = |taken: bool| if taken { i.jt as usize } else { i.jf as usize };
        match i.code {
            0x20 => a = load(i.k),
            0x54 => a &= i.k,
            0x05 => pc += i.k as usize,
            0x15 => pc += branch(a == i.k),
            0x25 => pc += branch(a > i.k),
            0x35 => pc += branch(a >= i.k),
            0x06 => return i.k,
            code => panic!("unexpected opcode {code:#x}"),
        }
    }
    unreachable!()
}

/// What the kernel checks before it takes a program: known opcodes, jumps inside, a `ret` at the end.
fn verify(program: &[sock_filter]) {
    let all = program;
    assert!(!all.is_empty() && all.len() <= 4096);
    for (at, i) in all.iter().enumerate() {
        match i.code {
            0x05 => assert!(at + 1 + (i.k as usize) < all.len()),
            0x15 | 0x25 | 0x35 => assert!(at + 1 + usize::from(i.jt.max(i.jf)) < all.len()),
            0x20 | 0x54 => assert!(at + 1 < all.len()),
            0x06 => {}
            code => panic!("unexpected opcode {code:#x}"),
        }
    }
    assert_eq!(all[all.len() - 1].code, 0x06);
}

fn matches(arg: &LinuxSeccompArg, data: &Data) -> bool {
    let (have, value) = (data.args[arg.index()], arg.value());
    match arg.op() {
        Op::ScmpCmpNe => have != value,
        Op::ScmpCmpLt => have < value,
        Op::ScmpCmpLe => have <= value,
        Op::ScmpCmpEq => have == value,
        Op::ScmpCmpGe => have >= value,
        Op::ScmpCmpGt => have > value,
        Op::ScmpCmpMaskedEq => have & value == arg.value_two().unwrap_or(0),
    }
}

/// The profile read plainly for one ABI. Does not know of socketcall and ipc.
struct Reference<'a> {
    default: u32,
    newest: Option<u32>,
    rules: HashMap<u32, Vec<&'a LinuxSyscall>>,
}

impl<'a> Reference<'a> {
    fn new(profile: &'a LinuxSeccomp, abi: Abi) -> Self {
        let numbers: HashMap<&str, u32> = table::rows().iter().filter_map(|r| Some((r.name, r.number(abi)?))).collect();
        let mut rules: HashMap<u32, Vec<&LinuxSyscall>> = HashMap::new();
        for call in profile.syscalls().iter().flatten() {
            for number in call.names().iter().filter_map(|n| numbers.get(n.as_str())) {
                rules.entry(*number).or_default().push(call);
            }
        }
        let default = value(profile.default_action(), profile.default_errno_ret());
        Self { default, newest: rules.keys().copied().max(), rules }
    }

    fn outcome(&self, data: &Data) -> u32 {
        if self.newest.is_some_and(|n| data.number > n) {
            return if self.default >= 0x7ff0_0000 { self.default } else { errno(38) };
        }
        let mut conditional = None;
        for call in self.rules.get(&data.number).into_iter().flatten() {
            let action = value(call.action(), call.errno_ret());
            let args = call.args().as_deref().unwrap_or_default();
            if action == self.default {
                continue;
            }
            if args.is_empty() {
                return action;
            }
            let repeated = args.iter().any(|a| args.iter().filter(|b| b.index() == a.index()).count() > 1);
            let holds = match repeated {
                true => args.iter().any(|a| matches(a, data)),
                false => args.iter().all(|a| matches(a, data)),
            };
            if holds {
                conditional = conditional.or(Some(action));
            }
        }
        conditional.unwrap_or(self.default)
    }
}

fn value(action: Action, errno_ret: Option<u32>) -> u32 {
    match action {
        Action::ScmpActErrno => errno(errno_ret.unwrap_or(1)),
        Action::ScmpActLog => 0x7ffc_0000,
        Action::ScmpActAllow => ALLOW,
        other => panic!("not used here: {other:?}"),
    }
}

fn abis(profile: &LinuxSeccomp) -> Vec<Abi> {
    profile.architectures().iter().flatten().filter_map(|a| Abi::from_oci(*a)).collect()
}

fn numbers(abi: Abi) -> impl Iterator<Item = u32> {
    let base = if abi == Abi::X32 { table::X32_BIT } else { 0 };
    (0..700).chain(0xefff0..0xf0010).chain([0x3fff_ffff]).map(move |n| n + base)
}

/// Argument values around every bound that the default policy has.
const VALUES: [u64; 16] =
    [0, 1, 7, 8, 9, 38, 39, 40, 41, 46, 0x2_0000, 0x2_0008, 0x1000_0000, 0x7e02_0000, 0xffff_ffff, 1 << 32];

#[test]
fn default_program_agrees_with_its_table() {
    for bits in [0, CapSet::DEFAULT.bits(), 1 << 21, u64::MAX] {
        let profile = default_profile(&Facts { caps: CapSet::from_bits(bits), kernel: (6, 1) });
        let program = compile_anew(&profile).unwrap();
        verify(&program);
        assert!(program.len() < 1000, "{}", program.len());
        assert_eq!(abis(&profile)[0], Abi::NATIVE);
        for abi in abis(&profile) {
            let reference = Reference::new(&profile, abi);
            for number in numbers(abi) {
                for value in VALUES {
                    let data = Data { number, audit: abi.audit(), args: [value, 0, 0, 0, 0, 0] };
                    assert_eq!(run(&program, &data), reference.outcome(&data), "{abi:?} {data:?}");
                }
            }
        }
    }
}

#[test]
fn default_policy_in_words() {
    let facts = Facts { caps: CapSet::DEFAULT, kernel: (6, 1) };
    let plain = compile_anew(&default_profile(&facts)).unwrap();
    let admin = CapSet::from_bits(CapSet::DEFAULT.bits() | 1 << 21);
    let admin = compile_anew(&default_profile(&Facts { caps: admin, ..facts })).unwrap();
    let of = |program: &[sock_filter], name: &str, arg: u64| {
        let number = table::find(name).and_then(|r| r.number(Abi::NATIVE)).unwrap();
        run(program, &Data { number, audit: Abi::NATIVE.audit(), args: [arg, 0, 0, 0, 0, 0] })
    };
    let (eperm, enosys) = (errno(1), errno(38));
    for (name, arg, want, want_admin) in [
        ("read", 0, ALLOW, ALLOW),
        ("keyctl", 0, eperm, eperm),
        ("mount", 0, eperm, ALLOW),
        ("clone3", 0, enosys, ALLOW),
        ("clone", 0x11, ALLOW, ALLOW),
        ("clone", 0x1000_0011, eperm, ALLOW),
        ("unshare", 0, eperm, ALLOW),
        ("socket", 2, ALLOW, ALLOW),
        ("socket", 38, eperm, eperm),
        ("socket", 40, eperm, eperm),
        ("socket", 40 | 1 << 32, eperm, eperm),
        ("personality", 0xffff_ffff, ALLOW, ALLOW),
        ("personality", 0x0040_0000, eperm, eperm),
        ("file_getattr", 0, enosys, enosys),
    ] {
        assert_eq!(of(&plain, name, arg), want, "{name} {arg:#x}");
        assert_eq!(of(&admin, name, arg), want_admin, "{name} {arg:#x} with CAP_SYS_ADMIN");
    }
    let foreign = Data { number: 0, audit: 0x8000_0016, args: [0; 6] };
    assert_eq!(run(&plain, &foreign), BAD_ARCH);
}

#[test]
fn an_architecture_that_is_not_named_kills() {
    let profile = load(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#, &Facts { caps: CapSet::EMPTY, kernel: (6, 1) });
    let program = compile_anew(&profile.unwrap()).unwrap();
    for abi in [Abi::X86_64, Abi::X32, Abi::I386, Abi::Aarch64, Abi::Arm] {
        let number = table::find("read").and_then(|r| r.number(abi)).unwrap();
        let got = run(&program, &Data { number, audit: abi.audit(), args: [0; 6] });
        assert_eq!(got, if abi == Abi::NATIVE { ALLOW } else { BAD_ARCH }, "{abi:?}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn old_style_calls_of_i386_are_seen_through() {
    let json = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [{"names": ["socket", "shmget"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}"#;
    let program = compile_anew(&load(json, &Facts { caps: CapSet::EMPTY, kernel: (6, 1) }).unwrap()).unwrap();
    let call = |number, arg| run(&program, &Data { number, audit: Abi::I386.audit(), args: [arg, 0, 0, 0, 0, 0] });
    assert_eq!([call(102, 1), call(102, 2), call(359, 0)], [errno(13), ALLOW, errno(13)]);
    assert_eq!([call(117, 23), call(117, 0x1_0017), call(117, 22)], [errno(13), errno(13), ALLOW]);
}

#[test]
fn what_cannot_be_expressed_is_refused() {
    let facts = Facts { caps: CapSet::EMPTY, kernel: (6, 1) };
    let error = |rule: &str| {
        let json = format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["read"], {rule}}}]}}"#);
        compile_anew(&load(&json, &facts).unwrap()).map(drop).unwrap_err().to_string()
    };
    assert!(error(r#""action": "SCMP_ACT_NOTIFY""#).contains("not supported yet"));
    assert!(error(r#""action": "SCMP_ACT_ERRNO", "errnoRet": 4096"#).contains("too large"));
    let arg = r#""action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]"#;
    assert_eq!(error(arg), "compile the seccomp rule for `read`: argument 6 does not exist, 5 is the last");
}

/// Any condition, with values that collide often.
fn any_arg() -> impl Strategy<Value = LinuxSeccompArg> {
    let value = || prop_oneof![0u64..6, Just(u64::from(u32::MAX)), (1u64 << 32)..(1 << 32) + 3, any::<u64>()];
    let op = prop_oneof![
        Just(Op::ScmpCmpNe),
        Just(Op::ScmpCmpLt),
        Just(Op::ScmpCmpLe),
        Just(Op::ScmpCmpEq),
        Just(Op::ScmpCmpGe),
        Just(Op::ScmpCmpGt),
        Just(Op::ScmpCmpMaskedEq)
    ];
    (0usize..3, value(), proptest::option::of(value()), op).prop_map(|(index, value, two, op)| {
        let builder = LinuxSeccompArgBuilder::default().index(index).value(value).op(op);
        match two {
            Some(two) => builder.value_two(two).build().unwrap(),
            None => builder.build().unwrap(),
        }
    })
}

/// Any profile over all names but the two that stand for others.
fn any_profile() -> impl Strategy<Value = LinuxSeccomp> {
    let names: Vec<String> =
        table::rows().iter().map(|r| r.name.to_owned()).filter(|n| n != "socketcall" && n != "ipc").collect();
    let action = || {
        prop_oneof![
            Just((Action::ScmpActAllow, None)),
            Just((Action::ScmpActLog, None)),
            Just((Action::ScmpActErrno, None)),
            (0u32..4096).prop_map(|n| (Action::ScmpActErrno, Some(n)))
        ]
    };
    let name = || proptest::sample::select(names.clone());
    let call = (prop::collection::vec(name(), 1..40), action(), prop::collection::vec(any_arg(), 0..4)).prop_map(
        |(n, a, args)| {
            let mut call = LinuxSyscall::default();
            call.set_names(n).set_action(a.0).set_errno_ret(a.1);
            call.set_args((!args.is_empty()).then_some(args));
            call
        },
    );
    let arches = proptest::sample::subsequence(
        vec![Arch::ScmpArchX86_64, Arch::ScmpArchX32, Arch::ScmpArchX86, Arch::ScmpArchAarch64, Arch::ScmpArchArm],
        0..5,
    );
    (action(), arches, prop::collection::vec(call, 0..40)).prop_map(|(default, arches, calls)| {
        let mut profile = LinuxSeccomp::default();
        profile.set_default_action(default.0).set_default_errno_ret(default.1);
        profile.set_architectures(Some(arches)).set_syscalls(Some(calls));
        profile
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_program_agrees_with_its_profile(
        profile in any_profile(),
        values in prop::collection::vec(prop_oneof![0u64..6, (1u64 << 32)..(1 << 32) + 4, any::<u64>()], 6)
    ) {
        // Programs beyond the kernel's limit are refused, which is an answer too.
        if let Ok(program) = compile_anew(&profile) {
            verify(&program);
            let mut all = abis(&profile);
            all.retain(|abi| *abi != Abi::X32 || all_has_x86_64(&profile));
            for abi in all {
                let reference = Reference::new(&profile, abi);
                // i386 reaches some calls through others, which the reference does not follow: those two are left out.
                for number in numbers(abi).filter(|n| abi != Abi::I386 || ![102, 117].contains(n)) {
                    let args = std::array::from_fn(|i| values[i]);
                    let data = Data { number, audit: abi.audit(), args };
                    prop_assert_eq!(run(&program, &data), reference.outcome(&data), "{:?} {:?}", abi, data);
                }
            }
        }
    }
}

/// x32 shares the section of x86_64, which is there on such a machine or if named.
fn all_has_x86_64(profile: &LinuxSeccomp) -> bool {
    Abi::NATIVE == Abi::X86_64 || abis(profile).contains(&Abi::X86_64)
}

/// `RUNR_BLESS=1 cargo test --lib seccomp` writes the file anew after a change of policy, table or compiler.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_ready_program_is_fresh() {
    use std::fmt::Write;
    let profile = default_profile(&Facts { caps: CapSet::DEFAULT, kernel: super::READY_KERNEL });
    let program = compile_anew(&profile).unwrap();
    let pack =
        |i: &sock_filter| u64::from(i.code) << 48 | u64::from(i.jt) << 40 | u64::from(i.jf) << 32 | u64::from(i.k);
    let packed: Vec<u64> = program.iter().map(pack).collect();
    if std::env::var_os("RUNR_BLESS").is_some() {
        let mut text = "//! The default policy with the default capabilities, compiled. Generated: see `the_ready_program_is_fresh`.\n\n\
             /// One instruction each; see `unpack`.\n#[rustfmt::skip]\n"
            .to_owned();
        write!(text, "pub(super) const PROGRAM: [u64; {}] = [", packed.len()).unwrap();
        for (i, instruction) in packed.iter().enumerate() {
            write!(text, "{}0x{instruction:016x},", if i.is_multiple_of(5) { "\n    " } else { " " }).unwrap();
        }
        text.push_str("\n];\n");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/runtime/seccomp/ready_x86_64.rs");
        std::fs::write(path, text).unwrap();
    } else {
        assert_eq!(super::ready_x86_64::PROGRAM.as_slice(), packed, "stale: write it anew with RUNR_BLESS=1");
        let fields = |program: &[sock_filter]| program.iter().map(pack).collect::<Vec<_>>();
        assert_eq!(fields(&super::ready_made(&profile).unwrap()), packed);
        assert!(super::ready_made(&default_profile(&Facts { caps: CapSet::EMPTY, kernel: (6, 1) })).is_none());
    }
}

/// Not a test: `cargo test --release --lib seccomp::tests::speed -- --ignored --nocapture` prints what a run pays.
#[test]
#[ignore = "prints numbers"]
fn speed() {
    for round in 0..5 {
        let start = std::time::Instant::now();
        let profile = default_profile(&Facts { caps: CapSet::DEFAULT, kernel: (6, 1) });
        let made = start.elapsed();
        let program = super::compile(&profile).unwrap().instructions;
        println!("{round}: profile {made:?}, program {:?}, {} instructions", start.elapsed() - made, program.len());
    }
}
