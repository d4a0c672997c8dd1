# fish completion of muster: asks the program itself, so that it knows what that version knows.
function __muster_complete
    set -l words (commandline -opc) (commandline -ct)
    muster --complete $words[2..-1] 2>/dev/null
end
complete -c muster -a '(__muster_complete)'
