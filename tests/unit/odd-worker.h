/* What the odd worker is asked for by HANDLE in TPM_NV_READ. */
#pragma once

enum { TELL_ENVIRONMENT = 1, TELL_DESCRIPTORS = 2, TELL_SIGNALS = 3 };
