//! The numbers of rpm's tags (`rpmtag.h`).

pub(super) const NAME: u32 = 1000;
pub(super) const VERSION: u32 = 1001;
pub(super) const RELEASE: u32 = 1002;
pub(super) const EPOCH: u32 = 1003;
pub(super) const SUMMARY: u32 = 1004;
pub(super) const DESCRIPTION: u32 = 1005;
pub(super) const BUILD_TIME: u32 = 1006;
pub(super) const SIZE: u32 = 1009;
pub(super) const VENDOR: u32 = 1011;
pub(super) const LICENSE: u32 = 1014;
pub(super) const PACKAGER: u32 = 1015;
pub(super) const GROUP: u32 = 1016;
pub(super) const URL: u32 = 1020;
pub(super) const OS: u32 = 1021;
pub(super) const ARCH: u32 = 1022;
pub(super) const SOURCE_RPM: u32 = 1044;
pub(super) const PREFIXES: u32 = 1098;
pub(super) const LONG_SIZE: u32 = 5009;
pub(super) const PAYLOAD_FORMAT: u32 = 1124;
pub(super) const PAYLOAD_DIGEST: u32 = 5092;
pub(super) const PAYLOAD_DIGEST_ALGO: u32 = 5093;

pub(super) const OLD_FILE_NAMES: u32 = 1027;
pub(super) const FILE_SIZES: u32 = 1028;
pub(super) const FILE_MODES: u32 = 1030;
pub(super) const FILE_RDEVS: u32 = 1033;
pub(super) const FILE_MTIMES: u32 = 1034;
pub(super) const FILE_DIGESTS: u32 = 1035;
pub(super) const FILE_LINK_TOS: u32 = 1036;
pub(super) const FILE_FLAGS: u32 = 1037;
pub(super) const FILE_USER_NAME: u32 = 1039;
pub(super) const FILE_GROUP_NAME: u32 = 1040;
pub(super) const FILE_VERIFY_FLAGS: u32 = 1045;
pub(super) const FILE_DEVICES: u32 = 1095;
pub(super) const FILE_INODES: u32 = 1096;
pub(super) const FILE_LANGS: u32 = 1097;
pub(super) const DIR_INDEXES: u32 = 1116;
pub(super) const BASE_NAMES: u32 = 1117;
pub(super) const DIR_NAMES: u32 = 1118;
pub(super) const LONG_FILE_SIZES: u32 = 5008;
pub(super) const FILE_CAPS: u32 = 5010;
pub(super) const FILE_DIGEST_ALGO: u32 = 5011;

/// Name, flags and version of each kind of dependency.
pub(super) type Dependency = [u32; 3];
pub(super) const PROVIDES: Dependency = [1047, 1112, 1113];
pub(super) const REQUIRES: Dependency = [1049, 1048, 1050];
pub(super) const CONFLICTS: Dependency = [1054, 1053, 1055];
pub(super) const OBSOLETES: Dependency = [1090, 1114, 1115];
pub(super) const RECOMMENDS: Dependency = [5046, 5048, 5047];
pub(super) const SUGGESTS: Dependency = [5049, 5051, 5050];
pub(super) const SUPPLEMENTS: Dependency = [5052, 5054, 5053];
pub(super) const ENHANCES: Dependency = [5055, 5057, 5056];
pub(super) const ORDER: Dependency = [5035, 5037, 5036];

/// Body, interpreter and flags of a script.
pub(super) type Script = [u32; 3];
pub(super) const PRE: Script = [1023, 1085, 5020];
pub(super) const POST: Script = [1024, 1086, 5021];
pub(super) const PRE_UN: Script = [1025, 1087, 5022];
pub(super) const POST_UN: Script = [1026, 1088, 5023];
pub(super) const VERIFY: Script = [1079, 1091, 5026];
pub(super) const PRE_TRANS: Script = [1151, 1153, 5024];
pub(super) const POST_TRANS: Script = [1152, 1154, 5025];
pub(super) const PRE_UN_TRANS: Script = [5103, 5105, 5107];
pub(super) const POST_UN_TRANS: Script = [5104, 5106, 5108];

/// The tags of one kind of trigger.
pub(super) struct Trigger {
    pub(super) script: Script,
    pub(super) conditions: Dependency,
    pub(super) index: u32,
    pub(super) priority: Option<u32>,
}
pub(super) const TRIGGERS: Trigger =
    Trigger { script: [1065, 1092, 5027], conditions: [1066, 1068, 1067], index: 1069, priority: None };
pub(super) const FILE_TRIGGERS: Trigger =
    Trigger { script: [5066, 5067, 5068], conditions: [5069, 5072, 5071], index: 5070, priority: Some(5084) };
pub(super) const TRANSACTION_FILE_TRIGGERS: Trigger =
    Trigger { script: [5076, 5077, 5078], conditions: [5079, 5082, 5081], index: 5080, priority: Some(5085) };

/// Of the signature header.
pub(super) const SHA1_HEADER: u32 = 269;
pub(super) const SHA256_HEADER: u32 = 273;
pub(super) const SIG_MD5: u32 = 1004;
/// What may be an OpenPGP signature: over the header (DSA, RSA), over header and payload (PGP, GPG).
pub(super) const SIGNATURES: [u32; 4] = [267, 268, 1002, 1005];
