#!/usr/bin/env escript
%% -*- coding: utf-8 -*-
%%! +pc unicode
%% Makes golden.txt: what a real term_to_binary/1,2 makes of each expression.
%%
%%     escript golden.escript > golden.txt
%%
%% One line for each expression, tab between the columns:
%%
%%     input      external format in hexadecimal, to be decoded
%%     canonical  the same term by term_to_binary(T, [{minor_version,2}]), the
%%                default from OTP 26 on: what the encoder has to write; "="
%%                where that is the input
%%     text       the term by io_lib:format("~0tp", [T]); "-" where the text has
%%                numbers that only that node knows (pids, ports, references)
%%                or an order of its own (maps of more than 32 keys)
%%     expression in Erlang, of the term or (in the second list) of the input
%%
%% It was last run with OTP 25 (erts 13.1.5).
main([]) ->
    io:setopts([{encoding, unicode}]),
    [line(E, T, term_to_binary(T, [{minor_version, 2}])) || E <- terms(), T <- [eval(E)]],
    [line(E, binary_to_term(B), B) || E <- inputs(), B <- [eval(E)]].

line(Expr, Term, Input) ->
    Canonical = case term_to_binary(Term, [{minor_version, 2}]) of
                    Input -> "=";
                    Other -> hex(Other)
                end,
    io:put_chars([hex(Input), $\t, Canonical, $\t, text(Term), $\t, Expr, $\n]).

text(Term) ->
    case is_map(Term) andalso map_size(Term) > 32 orelse local(Term) of
        true -> "-";
        false -> io_lib:format("~0tp", [Term])
    end.

local(T) when is_pid(T); is_port(T); is_reference(T) -> true;
local(T) when is_function(T) -> erlang:fun_info(T, type) =:= {type, local};
local(T) when is_tuple(T) -> local(tuple_to_list(T));
local([H | T]) -> local(H) orelse local(T);
local(T) when is_map(T) -> local(maps:to_list(T));
local(_) -> false.

hex(B) -> string:lowercase(binary:encode_hex(B)).

eval(Expr) ->
    {ok, Tokens, _} = erl_scan:string(Expr ++ "."),
    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
    {value, Value, _} = erl_eval:exprs(Exprs, erl_eval:new_bindings()),
    Value.

terms() ->
    [%% atoms
     "a", "''", "'hello world'", "true", "'é'", "'łódź'", "'日本語'", "'😀'", "'Up'", "a@b_C9",
     "'\\n\\t\\e\\d\\001'", "'it\\'s'", "'end'", "'a-b'", "'_x'", "'1'", "'a\\\\b'", "ß",
     "list_to_atom(lists:duplicate(255, $a))", "list_to_atom(lists:duplicate(255, $é))",
     "list_to_atom(lists:duplicate(255, 16#1F600))",
     %% integers
     "0", "1", "255", "256", "-1", "-256", "2147483647", "2147483648", "-2147483648",
     "-2147483649", "134217727", "134217728", "-134217729", "1 bsl 59", "(1 bsl 59) - 1",
     "-(1 bsl 59)", "-(1 bsl 59) - 1", "(1 bsl 63) - 1", "1 bsl 63", "-(1 bsl 63)",
     "-(1 bsl 63) - 1", "1 bsl 64", "12345678901234567890123456789", "-(1 bsl 100)",
     "(1 bsl (255 * 8)) - 1", "1 bsl (255 * 8)", "-(1 bsl 4000)",
     %% floats
     "0.0", "-0.0", "1.0", "-1.0", "0.1", "1.5", "3.141592653589793", "1.0e6", "100000.0",
     "123456789.0", "1.0e15", "9007199254740991.0", "9007199254740992.0", "1.0e22", "1.5e300",
     "0.001", "0.0001", "0.00001", "0.00012345", "1.234e-5", "120000.0", "99.0", "100.0",
     "1000.0", "5.0e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "-1.5e-7",
     "4503599627370495.5", "12345678901234567890.0", "0.012", "1234567.125",
     %% binaries and bit strings
     "<<>>", "<<0>>", "<<\"abc\">>", "<<1,2,3>>", "<<\"é\"/utf8>>", "<<233>>", "<<\"łódź\"/utf8>>",
     "<<\"a\\nb\\t\\e\\\"\\\\\">>", "<<\"a\",0>>", "<<127>>", "<<255,254>>", "<<160,65>>", "<<128,65>>",
     "binary:copy(<<\"x\">>, 300)", "<<1:1>>", "<<5:3>>", "<<0:7>>", "<<\"abc\",5:3>>", "<<255,255,1:1>>",
     "<<1:65>>", "<<\"日本\"/utf8,0>>",
     %% lists
     "[]", "[a]", "[1]", "\"abc\"", "\"\"", "\"é\"", "\"łódź\"", "\"😀\"", "\"a\\nb\\\"\\\\\\e\"", "[0]",
     "[127]", "[255]", "[256]", "[1,2,3]", "[1,a]", "[-1]", "[1.0]", "[a|b]", "[1,2|3]", "[$a|$b]",
     "[[]]", "[[],[[]]]", "[a,[b,[c]]]", "[\"ab\",<<\"cd\">>|<<\"ef\">>]", "[55296]", "[65534]", "[128]", "[160]",
     "[$a,[]]", "lists:duplicate(300, 7)", "lists:seq(1, 300)",
     "[[[[a|b]|c]|d]|e]", "[{a,\"b\"}]", "[$\\b,$\\v,$\\f,$\\r]",
     %% tuples
     "{}", "{a}", "{a,b}", "{1,{2,{3}}}", "list_to_tuple(lists:seq(1, 255))",
     "list_to_tuple(lists:seq(1, 256))", "{[],{},<<>>,#{}}",
     %% maps
     "#{}", "#{a => 1}", "#{a => 1,b => 2}", "#{1 => a,1.0 => b}", "#{\"x\" => {1,2},<<\"k\">> => []}",
     "#{[1] => a,{1} => b,#{} => c}", "#{#{a => b} => #{c => d}}",
     "maps:from_list([{I,I} || I <- lists:seq(1, 100)])",
     %% identifiers
     "self()", "make_ref()", "hd(erlang:ports())",
     "binary_to_term(<<131,88,119,3,\"a@b\",1:32,2:32,3:32>>)",
     "binary_to_term(<<131,88,119,3,\"a@b\",16#7fffffff:32,16#ffffffff:32,16#fffffffe:32>>)",
     "binary_to_term(<<131,89,119,3,\"a@b\",7:32,3:32>>)",
     "binary_to_term(<<131,120,119,3,\"a@b\",16#123456789abcdef0:64,3:32>>)",
     "binary_to_term(<<131,90,0,3,119,3,\"a@b\",5:32,1:32,2:32,3:32>>)",
     "binary_to_term(<<131,90,0,5,119,3,\"a@b\",5:32,1:32,2:32,3:32,4:32,5:32>>)",
     "binary_to_term(<<131,90,0,1,119,3,\"a@b\",5:32,1:32>>)",
     "[self()|make_ref()]",
     %% funs
     "fun lists:map/2", "fun 'A b':'x y'/3", "fun erlang:'+'/2",
     "fun(X) -> X end", "begin Y = [1,{a,<<\"b\">>}], fun(X) -> {X, Y} end end",
     compiled(""), compiled("[1,{a,<<\"b\">>},#{k => fun lists:map/2}]"),
     %% messages as they come
     "{'$gen_call',{self(),[alias|make_ref()]},{is_auth,node()}}",
     "{io_request,self(),make_ref(),{put_chars,unicode,[\"a\",[<<\"b\">>|<<\"é\"/utf8>>]]}}",
     "{badrpc,{'EXIT',{undef,[{m,f,[],[]}]}}}"].

%% An expression for a fun of a compiled module that holds a term.
compiled(Free) ->
    "begin {ok, golden, B} = compile:forms([{attribute,1,module,golden},{attribute,1,export,[{f,1}]},"
    "{function,1,f,1,[{clause,1,[{var,1,'X'}],[],[{'fun',1,{clauses,[{clause,1,[{var,1,'Y'}],[],"
    "[{tuple,1,[{var,1,'X'},{var,1,'Y'}]}]}]}}]}]}], []), {module, golden} = code:load_binary(golden, \"golden\", B), "
    "golden:f([" ++ Free ++ "]) end".

%% Encodings that Erlang reads but would not write today.
inputs() ->
    ["term_to_binary(1.5, [{minor_version, 0}])",
     "term_to_binary([0.1,-0.0,1.0e22,5.0e-324], [{minor_version, 0}])",
     "term_to_binary({'é',abc}, [{minor_version, 1}])",
     "term_to_binary(lists:duplicate(255, {some,[\"repetition\"]}), [{compressed, 9}])",
     "term_to_binary(self(), [{minor_version, 1}])",
     "<<131,80,0:8,0:8,0:8,4:8,(zlib:compress(<<104,1,97,5>>))/binary>>",
     "<<131,98,0,0,0,1>>", "<<131,98,255,255,255,255>>",
     "<<131,110,1,0,5>>", "<<131,110,0,0>>", "<<131,110,2,1,0,0>>", "<<131,110,9,1,1,0,0,0,0,0,0,0,0>>",
     "<<131,111,0,0,0,8,1,0,0,0,0,0,0,0,128>>", "<<131,111,0,0,0,9,0,0,0,0,0,0,0,0,0,1>>",
     "<<131,100,0,1,$a>>", "<<131,100,0,2,233,$a>>", "<<131,115,2,$a,255>>", "<<131,118,0,2,195,169>>", "<<131,119,0>>",
     "<<131,105,0,0,0,1,97,1>>", "<<131,107,0,0>>", "<<131,107,0,2,97,300:8>>",
     "<<131,108,0,0,0,0,106>>", "<<131,108,0,0,0,0,97,1>>",
     "<<131,108,0,0,0,1,97,1,107,0,1,2>>", "<<131,108,0,0,0,1,97,1,108,0,0,0,1,97,2,106>>",
     "<<131,108,0,0,0,1,97,1,108,0,0,0,1,97,2,97,3>>",
     "<<131,77,0,0,0,0,0>>", "<<131,77,0,0,0,1,8,5>>", "<<131,77,0,0,0,1,3,255>>", "<<131,77,0,0,0,2,1,7,255>>",
     "<<131,103,100,0,3,\"a@b\",1:32,2:32,3>>", "<<131,102,100,0,3,\"a@b\",7:32,3>>",
     "<<131,101,100,0,3,\"a@b\",7:32,3>>", "<<131,114,0,3,100,0,3,\"a@b\",1,1:32,2:32,3:32>>",
     "<<131,113,100,0,1,$a,100,0,1,$b,98,0,0,0,4>>"].
