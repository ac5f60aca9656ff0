// Functions that std calls, without what they take with them into a static binary.

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>

// musl's names other threads too, through files of /proc whose paths need all of printf, 7 kB. std names none but the calling thread.
int pthread_setname_np(pthread_t thread, const char *name) {
    if (thread != pthread_self()) {
        return ENOSYS;
    }
    return prctl(PR_SET_NAME, name, 0, 0, 0) == 0 ? 0 : errno;
}

// Stands in for libunwind, which std calls for a backtrace: none can be told from a stripped binary. Nothing else of it is ever called, as a panic aborts.

// The end of the stack, as the ABI of every target has it.
int _Unwind_Backtrace(void *trace, void *argument) { return 5; }

#define NEVER_CALLED(name) \
    void name(void) { abort(); }

NEVER_CALLED(_Unwind_DeleteException)
NEVER_CALLED(_Unwind_FindEnclosingFunction)
NEVER_CALLED(_Unwind_GetCFA)
NEVER_CALLED(_Unwind_GetDataRelBase)
NEVER_CALLED(_Unwind_GetIP)
NEVER_CALLED(_Unwind_GetIPInfo)
NEVER_CALLED(_Unwind_GetLanguageSpecificData)
NEVER_CALLED(_Unwind_GetRegionStart)
NEVER_CALLED(_Unwind_GetTextRelBase)
NEVER_CALLED(_Unwind_RaiseException)
NEVER_CALLED(_Unwind_Resume)
NEVER_CALLED(_Unwind_SetGR)
NEVER_CALLED(_Unwind_SetIP)
NEVER_CALLED(_Unwind_VRS_Get)
NEVER_CALLED(_Unwind_VRS_Set)
NEVER_CALLED(__aeabi_unwind_cpp_pr0)
NEVER_CALLED(__aeabi_unwind_cpp_pr1)
NEVER_CALLED(__aeabi_unwind_cpp_pr2)
NEVER_CALLED(__gnu_unwind_frame)
